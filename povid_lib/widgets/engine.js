// The pocket model's forward pass: vision tower, projector, decoder with a key-value cache, an adapter on or off. No library.
// In a worker it answers requests (at the end of this file); client.js asks them. The file is read as `povid pocket export` wrote it.

export class Refusal extends Error {} // an error whose message is a sentence for the reader

const FORMAT = "povid-pocket 1";
const SIZES = { F32: 4, I16: 2, I8: 1 };
const damaged = (why) => new Refusal(`The model's file is damaged (${why}). Load the page again; if that does not help, write the ` +
  "file again with `povid pocket export`.");

// --- the file ---

// {meta, tensor(name) -> {shape, values: Float32Array}} of a safetensors file; every part of it is checked before it is used
export function readFile(buffer) {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < 8) throw damaged("it is shorter than a header");
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (!(length <= buffer.byteLength - 8)) throw damaged("it ends inside its header");
  let header, meta;
  try {
    header = new Map(Object.entries(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, length)))));
    meta = JSON.parse(header.get("__metadata__").povid);
  } catch { throw damaged("its header is not the JSON of a pocket model"); }
  if (meta?.format !== FORMAT) throw new Refusal(`The model's file is of the format ${JSON.stringify(meta?.format)}, and this page reads ` +
    `${JSON.stringify(FORMAT)}: write both again with \`povid pocket export\`.`);
  const whole = (values) => Array.isArray(values) && values.length > 0 && values.every((n) => Number.isSafeInteger(n) && n >= 0);
  function part(name) {
    const { dtype, shape, data_offsets: at } = header.get(name) ?? {};
    if (!shape) throw damaged(`${name} is missing`);
    const [from, to] = whole(at) && at.length === 2 ? at : [1, 0];
    const count = whole(shape) ? shape.reduce((a, b) => a * b, 1) : 0;
    if (!Object.hasOwn(SIZES, dtype) || count === 0 || to - from !== count * SIZES[dtype] || 8 + length + to > buffer.byteLength)
      throw damaged(`${name} does not fit its place`);
    const bytes = buffer.slice(8 + length + from, 8 + length + to);
    return { dtype, shape, values: dtype === "F32" ? new Float32Array(bytes) : dtype === "I16" ? new Int16Array(bytes) : new Int8Array(bytes) };
  }
  function tensor(name, wanted) {
    const { dtype, shape, values } = part(name);
    if (wanted && wanted.join() !== shape.join()) throw damaged(`${name} is ${shape.join(" x ")} and not ${wanted.join(" x ")}`);
    let out = values;
    if (dtype !== "F32") {
      const scale = part(`${name}.scale`).values, fine = header.has(`${name}.fine`) ? part(`${name}.fine`).values : null;
      if (scale.length !== shape[0] || (fine && fine.length !== values.length)) throw damaged(`${name} and its scales do not fit`);
      out = new Float32Array(values.length);
      for (let row = 0, i = 0, width = values.length / shape[0]; row < shape[0]; row++)
        for (let k = 0; k < width; k++, i++) out[i] = (values[i] * 256 + (fine ? fine[i] : 0)) * scale[row];
    }
    for (let i = 0; i < out.length; i++) if (!Number.isFinite(out[i])) throw damaged(`${name} holds a number that is not finite`);
    return out;
  }
  return { meta, tensor, has: (name) => header.has(name), shape: (name) => part(name).shape };
}

const matrix = (rows, cols, weight, bias = null) => ({ rows, cols, weight, bias, extra: null }); // all of one shape: what runs on them is compiled once
const linearOf = (file, name, rows, cols, bias = false) =>
  matrix(rows, cols, file.tensor(`${name}.weight`, [rows, cols]), bias ? file.tensor(`${name}.bias`, [rows]) : null);

export function loadModel(buffer) {
  const file = readFile(buffer), { vision, text, image_token, end_token, tokenizer } = file.meta;
  const counts = [vision?.layers, vision?.hidden, vision?.heads, vision?.side, vision?.patch, text?.layers, text?.hidden, text?.heads,
    text?.kv_heads, text?.head, text?.positions];
  if (!counts.every((n) => Number.isInteger(n) && n > 0 && n < 1e5) || !Array.isArray(tokenizer?.tokens) ||
    !(image_token < tokenizer.tokens.length) || !(end_token < tokenizer.tokens.length)) throw damaged("its header lacks the sizes");
  const grid = Math.floor(vision.side / vision.patch), wide = vision.hidden, pixels = 3 * vision.patch ** 2, words = tokenizer.tokens.length;
  const norm = (name, n) => [file.tensor(`${name}.weight`, [n]), file.tensor(`${name}.bias`, [n])];
  const eye = "vision_tower.encoder.layers.", mouth = "language_model.layers.", t = text.hidden;
  const inner = file.shape(`${eye}0.mlp.fc1.weight`)[0], middle = file.shape(`${mouth}0.mlp.gate_proj.weight`)[0];
  const tower = {
    patch: matrix(wide, pixels, file.tensor("vision_tower.embeddings.patch_embedding.weight", [wide, 3, vision.patch, vision.patch])),
    first: file.tensor("vision_tower.embeddings.class_embedding", [wide]),
    places: file.tensor("vision_tower.embeddings.position_embedding.weight", [grid ** 2 + 1, wide]),
    norm: norm("vision_tower.pre_layrnorm", wide),
    layers: Array.from({ length: vision.layers }, (_, i) => ({
      norm1: norm(`${eye}${i}.layer_norm1`, wide), norm2: norm(`${eye}${i}.layer_norm2`, wide),
      ...Object.fromEntries(["q_proj", "k_proj", "v_proj", "out_proj"].map((n) => [n, linearOf(file, `${eye}${i}.self_attn.${n}`, wide, wide, true)])),
      fc1: linearOf(file, `${eye}${i}.mlp.fc1`, inner, wide, true), fc2: linearOf(file, `${eye}${i}.mlp.fc2`, wide, inner, true),
    })),
    linear1: linearOf(file, "multi_modal_projector.linear_1", t, wide, true), linear2: linearOf(file, "multi_modal_projector.linear_2", t, t, true),
  };
  const q = text.heads * text.head, kv = text.kv_heads * text.head;
  const layers = Array.from({ length: text.layers }, (_, i) => ({
    norm1: file.tensor(`${mouth}${i}.input_layernorm.weight`, [t]), norm2: file.tensor(`${mouth}${i}.post_attention_layernorm.weight`, [t]),
    q_proj: linearOf(file, `${mouth}${i}.self_attn.q_proj`, q, t), k_proj: linearOf(file, `${mouth}${i}.self_attn.k_proj`, kv, t),
    v_proj: linearOf(file, `${mouth}${i}.self_attn.v_proj`, kv, t), o_proj: linearOf(file, `${mouth}${i}.self_attn.o_proj`, t, q),
    gate_proj: linearOf(file, `${mouth}${i}.mlp.gate_proj`, middle, t), up_proj: linearOf(file, `${mouth}${i}.mlp.up_proj`, middle, t),
    down_proj: linearOf(file, `${mouth}${i}.mlp.down_proj`, t, middle),
  }));
  const embedding = linearOf(file, "language_model.embed_tokens", words, t);
  return { ...file.meta, grid, tower, layers, embedding, norm: file.tensor("language_model.norm.weight", [t]), adapter: 0 };
}

// the LoRA matrices of a training, put beside the model's own; `model.adapter` then says how much of them is added: 0 none, 1 all
export function addAdapter(model, buffer) {
  const file = readFile(buffer), extras = [];
  if (!Number.isFinite(file.meta.scale)) throw damaged("its header lacks the adapter's scale");
  model.layers.forEach((layer, i) => Object.entries(layer).forEach(([name, linear]) => {
    const at = ["self_attn", "mlp"].map((part) => `language_model.layers.${i}.${part}.${name}.lora_`).find((n) => file.has(`${n}A.weight`));
    if (!at) return;
    const [rank] = file.shape(`${at}A.weight`);
    extras.push([linear, {
      a: matrix(rank, linear.cols, file.tensor(`${at}A.weight`, [rank, linear.cols])),
      b: matrix(linear.rows, rank, file.tensor(`${at}B.weight`, [linear.rows, rank]).map((v) => v * file.meta.scale)),
    }]);
  }));
  if (!extras.length) throw damaged("it holds no adapter");
  for (const [linear, extra] of extras) linear.extra = extra;
}

// --- arithmetic; all matrices are rows after rows ---

// y[i][o] += share * sum over k of x[i][k] w[o][k]. Four rows of x, side by side and in doubles, with two rows of w at a time: eight
// sums of which none waits for another, and no number is converted twice. (A single row: four sums along it.)
export function addProduct(y, x, n, { weight: w, rows, cols }, share = 1) {
  const four = new Float64Array(4 * cols);
  for (let i = 0; i + 4 <= n; i += 4) {
    for (let j = 0; j < 4; j++) for (let k = 0; k < cols; k++) four[4 * k + j] = x[(i + j) * cols + k];
    for (let o = 0; o < rows; o += 2) {
      const at = o * cols, next = o + 1 < rows ? at + cols : at;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      for (let k = 0, e = 0; k < cols; k++, e += 4) {
        const u = w[at + k], v = w[next + k], a = four[e], b = four[e + 1], c = four[e + 2], d = four[e + 3];
        s0 += a * u; s1 += b * u; s2 += c * u; s3 += d * u;
        t0 += a * v; t1 += b * v; t2 += c * v; t3 += d * v;
      }
      const to = i * rows + o;
      y[to] += share * s0; y[to + rows] += share * s1; y[to + 2 * rows] += share * s2; y[to + 3 * rows] += share * s3;
      if (o + 1 === rows) continue;
      y[to + 1] += share * t0; y[to + rows + 1] += share * t1; y[to + 2 * rows + 1] += share * t2; y[to + 3 * rows + 1] += share * t3;
    }
  }
  for (let i = n - n % 4; i < n; i++) {
    const long = cols - cols % 4;
    for (let k = 0; k < cols; k++) four[k] = x[i * cols + k];
    for (let o = 0, at = 0; o < rows; o++, at += cols) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let k = 0; k < long; k += 4) {
        s0 += four[k] * w[at + k]; s1 += four[k + 1] * w[at + k + 1]; s2 += four[k + 2] * w[at + k + 2]; s3 += four[k + 3] * w[at + k + 3];
      }
      for (let k = long; k < cols; k++) s0 += four[k] * w[at + k];
      y[i * rows + o] += share * (s0 + s1 + s2 + s3);
    }
  }
}

function linear(x, n, of, adapter = 0) {
  const y = new Float32Array(n * of.rows);
  if (of.bias) for (let i = 0; i < n; i++) y.set(of.bias, i * of.rows);
  addProduct(y, x, n, of);
  if (of.extra && adapter !== 0) {
    const inside = new Float32Array(n * of.extra.a.rows);
    addProduct(inside, x, n, of.extra.a);
    addProduct(y, inside, n, of.extra.b, adapter);
  }
  return y;
}

function layerNorm(x, n, [weight, bias], eps) {
  const width = weight.length, y = new Float32Array(x.length);
  for (let i = 0; i < n; i++) {
    let mean = 0, square = 0;
    for (let k = 0; k < width; k++) mean += x[i * width + k] / width;
    for (let k = 0; k < width; k++) square += (x[i * width + k] - mean) ** 2 / width;
    const by = 1 / Math.sqrt(square + eps);
    for (let k = 0; k < width; k++) y[i * width + k] = (x[i * width + k] - mean) * by * weight[k] + bias[k];
  }
  return y;
}

function rmsNorm(x, n, weight, eps) {
  const width = weight.length, y = new Float32Array(x.length);
  for (let i = 0; i < n; i++) {
    let square = 0;
    for (let k = 0; k < width; k++) square += x[i * width + k] ** 2 / width;
    const by = 1 / Math.sqrt(square + eps);
    for (let k = 0; k < width; k++) y[i * width + k] = x[i * width + k] * by * weight[k];
  }
  return y;
}

const add = (x, y) => { for (let i = 0; i < x.length; i++) x[i] += y[i]; };

// the exact GELU needs erf: Abramowitz and Stegun 7.1.26, within 1.5e-7
function gelu(x) {
  const z = Math.abs(x) * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * z);
  const erf = 1 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-z * z);
  return 0.5 * x * (1 + (x < 0 ? -erf : erf));
}

function softmax(values, from, to) {
  let top = -Infinity, sum = 0;
  for (let i = from; i < to; i++) top = Math.max(top, values[i]);
  for (let i = from; i < to; i++) sum += values[i] = Math.exp(values[i] - top);
  for (let i = from; i < to; i++) values[i] /= sum;
}

// each of n queries looks at the first `reach(i)` of the keys; `seen(weights, i, head)` may read the weights
function attend(q, k, v, n, { heads, kvHeads = heads, size }, reach, seen) {
  const out = new Float32Array(n * heads * size), qs = heads * size, ks = kvHeads * size, by = 1 / Math.sqrt(size);
  const weights = new Float64Array(reach(n - 1));
  for (let h = 0; h < heads; h++) {
    const own = Math.floor(h * kvHeads / heads) * size;
    for (let i = 0; i < n; i++) {
      const at = i * qs + h * size, last = reach(i);
      for (let j = 0; j < last; j++) {
        let s = 0;
        for (let d = 0, key = j * ks + own; d < size; d++) s += q[at + d] * k[key + d];
        weights[j] = s * by;
      }
      softmax(weights, 0, last);
      for (let j = 0; j < last; j++) for (let d = 0, from = j * ks + own, w = weights[j]; d < size; d++) out[at + d] += w * v[from + d];
      seen?.(weights, i, h);
    }
  }
  return out;
}

// --- the picture ---

// RGBA bytes of a canvas (side x side) -> pixel_values (3, side, side), as the processor makes them
export function pixelValues({ vision: { side, rescale, mean, std } }, rgba) {
  const area = side * side, out = new Float32Array(3 * area);
  if (rgba?.length !== 4 * area) throw new Refusal(`The picture must be ${side} x ${side} pixels.`);
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) out[c * area + i] = (rgba[4 * i + c] * rescale - mean[c]) / std[c];
  return out;
}

// picture -> embeddings of its tokens (patches, hidden of the text): the tower's chosen layer without the class token, projected
export function see(model, pixels) {
  const { tower, grid, vision: { side, patch, heads, hidden, eps } } = model, n = grid * grid + 1;
  const patches = new Float32Array((n - 1) * tower.patch.cols);
  for (let p = 0, at = 0; p < n - 1; p++) for (let c = 0; c < 3; c++) for (let y = 0; y < patch; y++) {
    const from = (c * side + Math.floor(p / grid) * patch + y) * side + (p % grid) * patch;
    for (let x = 0; x < patch; x++) patches[at++] = pixels[from + x];
  }
  let x = new Float32Array(n * hidden);
  x.set(tower.first);
  x.set(linear(patches, n - 1, tower.patch), hidden);
  add(x, tower.places);
  x = layerNorm(x, n, tower.norm, eps);
  for (const layer of tower.layers) {
    const h = layerNorm(x, n, layer.norm1, eps);
    const mixed = attend(linear(h, n, layer.q_proj), linear(h, n, layer.k_proj), linear(h, n, layer.v_proj), n, { heads, size: hidden / heads }, () => n);
    add(x, linear(mixed, n, layer.out_proj));
    const wide = linear(layerNorm(x, n, layer.norm2, eps), n, layer.fc1);
    for (let i = 0; i < wide.length; i++) wide[i] /= 1 + Math.exp(-1.702 * wide[i]);
    add(x, linear(wide, n, layer.fc2));
  }
  const between = linear(x.subarray(hidden), n - 1, tower.linear1);
  for (let i = 0; i < between.length; i++) between[i] = gelu(between[i]);
  return linear(between, n - 1, tower.linear2);
}

// --- the text ---

// an empty row about a picture (from `see`); `read` fills its cache, and setting `length` back takes tokens away again
export function newRow(model, picture) {
  const size = model.text.positions * model.text.kv_heads * model.text.head, cache = () => model.layers.map(() => new Float32Array(size));
  return { picture, length: 0, shown: 0, first: -1, keys: cache(), values: cache() };
}

function rotate(x, n, heads, size, start, theta) {
  for (let i = 0; i < n; i++) for (let d = 0; d < size / 2; d++) {
    const angle = Math.fround((start + i) * Math.fround(theta ** (-2 * d / size))), cos = Math.cos(angle), sin = Math.sin(angle);
    for (let h = 0, at = i * heads * size + d; h < heads; h++, at += size) {
      const a = x[at], b = x[at + size / 2];
      x[at] = a * cos - b * sin; x[at + size / 2] = b * cos + a * sin;
    }
  }
}

// reads ids on from where the row stands; -> {logits (wanted, vocabulary) of the last `wanted`, attention (layers, heads, patches) of the last}
export function read(model, row, ids, wanted = 1) {
  const { text: { hidden, heads, kv_heads: kvHeads, head: size, eps, theta, positions }, embedding, adapter } = model;
  const n = ids.length, start = row.length, patches = model.grid ** 2;
  if (n === 0 || start + n > positions) throw new Refusal(`The text is longer than the model's ${positions} places.`);
  const x = new Float32Array(n * hidden);
  ids.forEach((id, i) => {
    if (!Number.isInteger(id) || id < 0 || id >= embedding.rows) throw new Refusal(`The model has no token ${id}.`);
    const seen = id === model.image_token;
    if (seen && row.first < 0) row.first = start + i;
    const at = seen ? start + i - row.first : id;
    if (seen && at >= patches) throw new Refusal(`The prompt holds more than ${patches} picture tokens.`);
    x.set((seen ? row.picture : embedding.weight).subarray(at * hidden, (at + 1) * hidden), i * hidden);
  });
  const attention = new Float32Array(model.layers.length * heads * patches);
  model.layers.forEach((layer, l) => {
    const h = rmsNorm(x, n, layer.norm1, eps), q = linear(h, n, layer.q_proj, adapter), k = linear(h, n, layer.k_proj, adapter);
    rotate(q, n, heads, size, start, theta);
    rotate(k, n, kvHeads, size, start, theta);
    row.keys[l].set(k, start * kvHeads * size);
    row.values[l].set(linear(h, n, layer.v_proj, adapter), start * kvHeads * size);
    const mixed = attend(q, row.keys[l], row.values[l], n, { heads, kvHeads, size }, (i) => start + i + 1, (weights, i, at) => {
      if (i === n - 1 && row.first >= 0)
        for (let p = 0; p < patches && row.first + p < start + n; p++) attention[(l * heads + at) * patches + p] = weights[row.first + p];
    });
    add(x, linear(mixed, n, layer.o_proj, adapter));
    const g = rmsNorm(x, n, layer.norm2, eps), gate = linear(g, n, layer.gate_proj, adapter), up = linear(g, n, layer.up_proj, adapter);
    for (let i = 0; i < gate.length; i++) gate[i] *= up[i] / (1 + Math.exp(-gate[i]));
    add(x, linear(gate, n, layer.down_proj, adapter));
  });
  row.length += n;
  return { logits: linear(rmsNorm(x.subarray((n - wanted) * hidden), wanted, model.norm, eps), wanted, embedding), attention };
}

// probabilities (vocabulary) of one row of logits, with a constant on the end token's
export function probabilities(model, logits, endBias = 0) {
  const out = Float64Array.from(logits);
  out[model.end_token] += endBias;
  softmax(out, 0, out.length);
  return out;
}

// the likeliest token, or with a source of numbers in [0, 1) one drawn by its probability
export function choose(probs, random = null) {
  if (!random) return probs.indexOf(probs.reduce((a, b) => Math.max(a, b)));
  let left = random();
  for (let i = 0; i < probs.length; i++) if ((left -= probs[i]) < 0) return i;
  return probs.length - 1;
}

// numbers in [0, 1) from a whole number: mulberry32
export const chance = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

// --- the worker: one request at a time, {id, what, ...}; answers {id, ...}, and {id, error} with a sentence ---

let model = null, kept = { pixels: null, row: null, ids: [], adapter: 0 }, stopped = 0;

// a row about this picture whose cache holds as much of `ids` as an earlier request has read; the last `wanted` are read again
function rowFor({ pixels, ids, adapter = 0, wanted = 1 }) {
  if (!model) throw new Refusal("The model is not loaded.");
  if (kept.pixels?.length !== pixels.length || kept.pixels.some((v, i) => v !== pixels[i]))
    kept = { pixels, row: newRow(model, see(model, pixels)), ids: [], adapter };
  if (adapter !== kept.adapter) kept.ids = [];
  let shared = 0;
  while (shared < kept.ids.length && shared < ids.length - wanted && kept.ids[shared] === ids[shared]) shared++;
  kept.row.length = shared;
  if (shared <= kept.row.first) kept.row.first = -1;
  model.adapter = kept.adapter = adapter;
  kept.ids = []; // if the reading fails, nothing counts as read
  const out = read(model, kept.row, ids.slice(shared), wanted);
  kept.ids = [...ids];
  return out;
}

const turn = () => new Promise((resolve) => { // lets a waiting message in; a timer would wait 4 ms
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); resolve(); };
  port2.postMessage(0);
});

const requests = {
  load({ buffer }) { model = loadModel(buffer); kept.pixels = null; return { ...model, tower: null, layers: null, embedding: null, norm: null }; },
  adapter({ buffer }) { if (!model) throw new Refusal("The model is not loaded."); addAdapter(model, buffer); kept.pixels = null; return {}; },
  read: rowFor,
  // an answer token by token: each is told as {id, token, probs, attention} before the whole as {id, tokens}
  async answer({ id, ids, pixels, adapter, endBias = 0, seed = null, limit = 128 }) {
    const tokens = [], random = seed === null ? null : chance(seed);
    for (let ended = false; !ended && tokens.length < limit && id > stopped; await turn()) {
      const { logits, attention } = rowFor({ pixels, ids: [...ids, ...tokens], adapter });
      const probs = probabilities(model, logits, endBias), token = choose(probs, random);
      self.postMessage({ id, part: { token, probs, attention } });
      if (!(ended = token === model.end_token)) tokens.push(token);
    }
    return { tokens };
  },
};

async function answered({ data }) {
  if (data.what === "stop") { stopped = data.id; return; }
  try { self.postMessage({ id: data.id, done: await requests[data.what](data) }); }
  catch (error) { self.postMessage({ id: data.id, error: error instanceof Refusal ? error.message : `The model could not run: ${error.message}` }); }
}

// a browser compiles well what it has seen run: a model of nothing saves the first answer a quarter of a second
function warmUp(n = 64) {
  const of = (length) => new Float32Array(length).fill(0.0137), square = matrix(n, n, of(n * n), of(n)), plain = matrix(n, n, of(n * n));
  const [eye, mouth] = [square, plain].map((m) => Object.fromEntries(["q_proj", "k_proj", "v_proj", "out_proj", "o_proj", "fc1", "fc2", "gate_proj",
    "up_proj", "down_proj"].map((name) => [name, m])));
  const sizes = { hidden: n, heads: 2, kv_heads: 2, head: n / 2, eps: 1e-5, theta: 1e4, positions: 64, side: 96, patch: 16 }, norm = [of(n), of(n)];
  const small = { grid: 6, vision: sizes, text: sizes, image_token: 3, adapter: 0, embedding: plain, norm: of(n), tower: {
    patch: matrix(n, 768, of(n * 768)), first: of(n), places: of(37 * n), norm, layers: Array(4).fill({ ...eye, norm1: norm, norm2: norm }), linear1: square, linear2: square,
  }, layers: Array(4).fill({ ...mouth, norm1: of(n), norm2: of(n) }) };
  const row = newRow(small, see(small, of(3 * 96 * 96)));
  for (let i = 0; i < 6; i++) { see(small, of(3 * 96 * 96)); row.length = 0; read(small, row, [1, ...Array(36).fill(3), 2]); read(small, row, [2]); }
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = answered;
  warmUp();
}
