// How a scene becomes a picture, pixel by pixel as povid_lib/world/drawing.py does it; noise; covered patches.

export const spriteKey = ({ name, size, colour, faded, unseen }) =>
  unseen ? `${name}|mark||` : `${name}|${size}|${colour}|${faded ? "faded" : ""}`;

const f = Math.fround;
const rounded = (value) => { // halves to the even number, as numpy's rint
  const low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
};

// the sheet of sprites -> sprite(key) = {width, height, rgb, alpha}
export function sheetOf(image, places) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return (key) => {
    const [x, y, width, height] = places[key];
    return { width, height, rgb: context.getImageData(x, y, width, height).data, alpha: context.getImageData(x, y + image.height / 2, width, height).data };
  };
}

// scene {paper, marks, items} -> RGBA bytes (side x side)
export function paint({ paper: [top, bottom], marks, items }, { side, opacity }, sprite) {
  const canvas = new Float32Array(3 * side * side);
  for (let y = 0, i = 0; y < side; y++) for (let x = 0; x < side; x++) for (let c = 0; c < 3; c++)
    canvas[i++] = f(top[c] + f(f(bottom[c] - top[c]) * f(y / (side - 1))));
  function put({ width, height, rgb, alpha }, [x, y], share) {
    const left = x - Math.floor(width / 2), up = y - Math.floor(height / 2);
    for (let row = Math.max(up, 0); row < Math.min(up + height, side); row++)
      for (let col = Math.max(left, 0); col < Math.min(left + width, side); col++) {
        const from = 4 * ((row - up) * width + col - left), to = 3 * (row * side + col), much = f(f(alpha[from] / 255) * f(share));
        for (let c = 0; c < 3; c++) canvas[to + c] += f(f(rgb[from + c] - canvas[to + c]) * much);
      }
  }
  for (const [name, x, y] of marks) put(sprite(`${name}|mark||`), [x, y], opacity.mark);
  for (const item of items) {
    const art = sprite(spriteKey(item));
    for (const place of item.unseen ? item.places.slice(0, 1) : item.places)
      put(art, place, item.unseen ? opacity.mark : item.pale ? opacity.pale : 1);
  }
  const out = new Uint8ClampedArray(4 * side * side);
  for (let i = 0; i < side * side; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = rounded(canvas[3 * i + c]);
    out[4 * i + 3] = 255;
  }
  return out;
}

// share of the picture's variance that is left after each of the 1000 steps: the schedule of data/corrupt_image.py
export function alphaBars() {
  let left = 1;
  return Float64Array.from({ length: 1000 }, (_, i) => left *= 1 - ((0.5e-2 - 1e-5) / (1 + Math.exp(6 - 12 * i / 999)) + 1e-5));
}

// one draw of noise, mixed in as far as the step says; on the picture's own bytes, cut off at 0 and 255
export function noised(rgba, step, random) {
  if (step < 0) return rgba;
  const left = alphaBars()[step], out = new Uint8ClampedArray(rgba);
  for (let i = 0; i < rgba.length; i++) if (i % 4 < 3) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()); // Box and Muller
    out[i] = Math.trunc(Math.min(255, Math.max(0, 255 * (Math.sqrt(left) * rgba[i] / 255 + Math.sqrt(1 - left) * normal))));
  }
  return out;
}

// the picture with some patches of another in their place: the paper with nothing on it
export function covered(rgba, paper, patches, { side, patch }) {
  const out = new Uint8ClampedArray(rgba), grid = side / patch;
  for (const p of patches) for (let y = 0; y < patch; y++) {
    const at = 4 * ((Math.floor(p / grid) * patch + y) * side + (p % grid) * patch);
    out.set(paper.subarray(at, at + 4 * patch), at);
  }
  return out;
}
