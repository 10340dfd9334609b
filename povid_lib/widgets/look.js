// Cover patches of a scene and watch the probabilities of the model's words.
// Model: pocket.onnx beside the book's pages, run by onnxruntime-web; in Jupyter the kernel answers instead.

const root = () => new URL(document.documentElement.dataset.content_root ?? "./", document.baseURI);

async function browserEngine() {
  const file = await fetch(new URL("_static/models/pocket.onnx", root()));
  if (!file.ok || (file.headers.get("content-type") ?? "").includes("text/html")) return null; // not in the book
  const base = new URL("_static/vendor/ort/", root());
  const ort = await import(new URL("ort.wasm.min.mjs", base).href);
  ort.env.wasm.wasmPaths = base.href;
  ort.env.wasm.numThreads = 1; // needs no special headers
  const session = await ort.InferenceSession.create(new Uint8Array(await file.arrayBuffer()));
  return async (pixels, ids, side) => {
    const out = await session.run({
      pixel_values: new ort.Tensor("float32", pixels, [1, 3, side, side]),
      input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
    });
    return out.logits.data;
  };
}

function kernelEngine(model) {
  let count = 0;
  return (pixels, ids) => new Promise((resolve, reject) => {
    const request = ++count;
    const timer = setTimeout(() => reject(new Error("the kernel does not answer; is it running?")), 20000);
    const listen = (content, buffers) => {
      if (content.request !== request) return;
      clearTimeout(timer);
      model.off("msg:custom", listen);
      const bytes = buffers[0];
      resolve(new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
    };
    model.on("msg:custom", listen);
    model.send({ request, ids }, undefined, [pixels.buffer]);
  });
}

let shared = null; // one model a page, however many widgets
const engineFor = (model) => (shared ??= browserEngine().then((run) => run ?? kernelEngine(model)));

function softmaxRow(logits, row, width) {
  const part = logits.subarray(row * width, (row + 1) * width);
  const top = part.reduce((a, b) => Math.max(a, b), -Infinity);
  const exp = Float64Array.from(part, (v) => Math.exp(v - top));
  const sum = exp.reduce((a, b) => a + b, 0);
  return exp.map((v) => v / sum);
}

const bitmap = (src) => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = () => resolve(image);
  image.onerror = reject;
  image.src = src;
});

function render({ model, el }) {
  const spec = specOf(model);
  const { side, patch, vocabulary, objects } = spec;
  const grid = side / patch, width = vocabulary.length;
  let scene, before, after, answer, chosen = 0, masked = new Set(), whole = null, turn = 0;

  const canvas = element("canvas", { width: side, height: side, role: "img" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const patches = element("div", { class: "look-patches", role: "group", "aria-label": "Patches of the picture" });
  const words = element("div", { class: "look-words", role: "group", "aria-label": "Words of the caption" });
  const bars = element("div", { class: "look-bars" });
  const status = element("p", { class: "look-status", role: "status" });
  const select = element("select", { onchange: () => show(+select.value) });
  spec.scenes.forEach((s, i) => select.append(element("option", { value: i }, s.title)));
  const button = (label, action) => element("button", { type: "button", onclick: action }, label);

  for (let i = 0; i < grid * grid; i++) {
    const name = `Cover row ${Math.floor(i / grid) + 1}, column ${(i % grid) + 1}`;
    patches.append(element("button", { type: "button", "aria-label": name, "aria-pressed": "false",
      onclick: () => { masked.has(i) ? masked.delete(i) : masked.add(i); update(); } }));
  }
  mount(el, "look",
    element("div", { class: "look-left" },
      element("label", {}, "Scene ", select),
      element("div", { class: "look-picture" }, canvas, patches),
      element("div", { class: "look-buttons" },
        button("Cover all", () => { masked = new Set(Array.from({ length: grid * grid }, (_, i) => i)); whole = null; update(); }),
        button("Another picture", () => { whole = (spec.scenes.indexOf(scene) + 1) % spec.scenes.length; masked.clear(); update(); }),
        button("As it was", () => { whole = null; masked.clear(); update(); }))),
    element("div", { class: "look-right" },
      element("p", {}, `Question: ${spec.question} The model's words, with their probability now:`),
      words,
      element("div", { class: "look-buttons" }, button("Let it answer again", speak)),
      bars, status));

  async function show(index) {
    scene = spec.scenes[index];
    select.value = index;
    masked.clear(); whole = null;
    answer = scene.answer; before = scene.probs; after = before;
    chosen = Math.max(0, answer.findIndex((id) => objects[id] && !scene.names.includes(objects[id])));
    await paint();
    draw(null);
  }

  async function paint() {
    const source = whole === null ? scene : spec.scenes[whole];
    canvas.setAttribute("aria-label", `Picture of: ${source.names.join(", ")}. ${masked.size} of ${grid * grid} patches covered.`);
    context.drawImage(await bitmap(source.png), 0, 0);
    const paper = await bitmap(source.paper);
    for (const i of masked) {
      const x = (i % grid) * patch, y = Math.floor(i / grid) * patch;
      context.drawImage(paper, x, y, patch, patch, x, y, patch, patch);
    }
    [...patches.children].forEach((b, i) => b.setAttribute("aria-pressed", masked.has(i)));
  }

  function pixels() {
    const rgba = context.getImageData(0, 0, side, side).data, area = side * side;
    const out = new Float32Array(3 * area);
    for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) out[c * area + i] = rgba[4 * i + c] / 127.5 - 1;
    return out;
  }

  async function logitsFor(ids) {
    if (!shared) status.textContent = "Loading the model (28 MB, once) ...";
    const run = await engineFor(model);
    const logits = await run(pixels(), ids, side);
    status.textContent = "";
    return logits;
  }

  async function guarded(action) {
    const mine = ++turn;
    try { await action(() => mine === turn); }
    catch (error) { status.textContent = `The model could not run: ${error.message}`; throw error; }
  }

  function update() {
    return guarded(async (current) => {
      await paint();
      const logits = await logitsFor([...scene.prompt, ...answer]);
      if (!current()) return; // a later click has overtaken this one
      const first = scene.prompt.length - 1;
      const rows = answer.map((_, i) => softmaxRow(logits, first + i, width));
      after = rows.map((row, i) => row[answer[i]]);
      draw(rows);
    });
  }

  function speak() {
    return guarded(async (current) => {
      const said = [];
      while (said.length < 90) {
        const ids = [...scene.prompt, ...said];
        const logits = await logitsFor(ids);
        if (!current()) return;
        const row = logits.subarray((ids.length - 1) * width, ids.length * width);
        const next = row.indexOf(row.reduce((a, b) => Math.max(a, b), -Infinity));
        if (next === spec.end) break;
        said.push(next);
      }
      answer = said;
      chosen = Math.min(chosen, answer.length - 1);
      before = null;
      await update();
    });
  }

  function draw(rows) {
    const truth = (whole === null ? scene : spec.scenes[whole]).names;
    words.replaceChildren(...answer.map((id, i) => {
      const kind = objects[id];
      const verdict = kind ? (truth.includes(kind) ? "true" : "false") : "none";
      const label = { true: ", in the picture", false: ", not in the picture", none: "" }[verdict];
      const percent = (100 * after[i]).toFixed(0);
      const chip = element("button", { type: "button", "data-verdict": verdict, "data-percent": percent, "aria-pressed": i === chosen,
        onclick: () => { chosen = i; draw(rows); if (!rows) update(); } },
        element("span", {}, vocabulary[id].trim() || "␣"), element("small", {}, percent),
        element("span", { class: "povid-spoken" }, ` percent${label}`));
      chip.style.setProperty("--p", after[i].toFixed(3));
      return chip;
    }));
    if (!rows) { bars.replaceChildren(element("p", {}, "Click a word, or cover a patch, to run the model in this page.")); return; }
    const row = rows[chosen];
    const best = Array.from(row.keys()).sort((a, b) => row[b] - row[a]).slice(0, 7);
    const list = element("ol", {}, ...best.map((id) => {
      const item = element("li", {}, element("span", {}, vocabulary[id].trim() || "␣"), element("i", { "aria-hidden": "true" }),
        element("small", {}, `${(100 * row[id]).toFixed(1)} %`));
      item.style.setProperty("--p", row[id].toFixed(4));
      return item;
    }));
    const then = before ? ` (before: ${(100 * before[chosen]).toFixed(0)} %)` : "";
    bars.replaceChildren(element("p", {}, "In place of ", element("b", {}, vocabulary[answer[chosen]].trim()), then, " the model expects:"), list);
  }

  show(0);
}

export default { render };
