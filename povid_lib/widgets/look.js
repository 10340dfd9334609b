// Cover patches of a scene and watch the probabilities of the model's words.
// Model: the book's own engine (client.js beside the model's file); in Jupyter the kernel answers instead.

const root = () => new URL(document.documentElement.dataset.content_root ?? "./", document.baseURI);

// run(pixels, ids, wanted, told) -> logits of the last `wanted` ids; null outside the book
async function browserEngine() {
  const script = new URL("_static/models/client.js", root());
  const found = await fetch(script, { method: "HEAD" });
  if (!found.ok || (found.headers.get("content-type") ?? "").includes("text/html")) return null;
  const { engine } = await import(script.href);
  return async (pixels, ids, wanted, told) => (await (await engine(told)).ask("read", { pixels, ids, wanted })).logits;
}

function kernelEngine(model) {
  let count = 0;
  return (pixels, ids, wanted) => new Promise((resolve, reject) => {
    const request = ++count;
    const timer = setTimeout(() => reject(new Error("the kernel does not answer; is it running?")), 20000);
    const listen = (content, buffers) => {
      if (content.request !== request) return;
      clearTimeout(timer);
      model.off("msg:custom", listen);
      const bytes = buffers[0];
      const logits = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      resolve(logits.subarray(logits.length / ids.length * (ids.length - wanted)));
    };
    model.on("msg:custom", listen);
    model.send({ request, ids }, undefined, [pixels.buffer]);
  });
}

const engineFor = async (model) => (await browserEngine()) ?? kernelEngine(model);

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
  roving(patches, () => grid);
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

  let run = null;
  async function logitsFor(ids, wanted) {
    run ??= await engineFor(model);
    return run(pixels(), ids, wanted, (part, whole) => {
      status.textContent = `The model comes: ${(part / 1e6).toFixed(1)}${whole ? ` of ${(whole / 1e6).toFixed(1)}` : ""} MB, once`;
    });
  }

  async function guarded(action) {
    const mine = ++turn;
    try {
      await action(() => mine === turn);
      if (mine === turn) status.textContent = "";
    } catch (error) { status.textContent = `The model could not run: ${error.message} The next click tries again.`; }
  }

  function update() {
    return guarded(async (current) => {
      await paint();
      const logits = await logitsFor([...scene.prompt, ...answer], answer.length + 1);
      if (!current()) return; // a later click has overtaken this one
      const rows = answer.map((_, i) => softmaxRow(logits, i, width));
      after = rows.map((row, i) => row[answer[i]]);
      draw(rows);
    });
  }

  function speak() {
    return guarded(async (current) => {
      const said = [];
      while (said.length < 90) {
        const row = await logitsFor([...scene.prompt, ...said], 1);
        if (!current()) return;
        const next = row.indexOf(row.reduce((a, b) => Math.max(a, b), -Infinity));
        if (next === spec.end) break;
        said.push(next);
        status.textContent = `It answers: ${said.map((id) => vocabulary[id]).join("")} ...`;
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
        onclick: () => { chosen = i; draw(rows); words.children[i].focus(); if (!rows) update(); } },
        element("span", {}, vocabulary[id].trim() || "␣"), element("small", {}, percent),
        element("span", { class: "povid-spoken" }, ` percent${label}`));
      chip.style.setProperty("--p", after[i].toFixed(3));
      chip.tabIndex = i === chosen ? 0 : -1;
      return chip;
    }));
    roving(words, () => 1);
    if (!answer.length) { bars.replaceChildren(element("p", {}, "The model says nothing.")); return; }
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
