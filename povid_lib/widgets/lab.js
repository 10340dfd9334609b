// The laboratory: compose a picture, spoil it, set the model's dials, and read what the model says about it. See lab.py, client.js.

import { adapter, engine, prepare } from "./client.js";
import { chance, pixelValues } from "./engine.js";
import { judged } from "./judge.js";
import { covered, noised, paint, sheetOf } from "./paint.js";
import { tokenizer } from "./tokenizer.js";

const HERE = new URL(".", import.meta.url), TAU = 0.5e-3;
const image = (url) => { const shown = new Image(); shown.src = url; return shown.decode().then(() => shown); };
const percent = (p) => (100 * p).toFixed(p < 0.0995 ? 1 : 0);
const megabytes = (n) => (n / 1e6).toFixed(1);

async function laboratory(el) {
  const [spec, sheet] = await Promise.all([fetch(new URL("lab.json", HERE)).then((r) => r.json()), image(new URL("sprites.png", HERE))]);
  const { side, cell, patch, positions } = spec, grid = side / patch, sprite = sheetOf(sheet, spec.sprites);
  const kinds = new Map(spec.kinds.map(([name, context, recolourable]) => [name, { context, recolourable }]));
  let scene, given = 0, hidden = new Set(), seed = 1, own = null, running = 0, said = null, chosen = 0, difference = 0;

  // --- controls ---
  const option = (value, text = value) => element("option", { value }, text);
  const select = (...options) => element("select", {}, ...options);
  const labelled = (text, control) => element("label", {}, element("span", {}, text), control);
  const button = (label, action, kind = "") => element("button", { type: "button", class: kind, onclick: action }, label);
  const canvas = element("canvas", { width: side, height: side, role: "img" }), context = canvas.getContext("2d");
  const overlay = element("div", { class: "lab-attention", "aria-hidden": "true" }, ...Array.from({ length: grid ** 2 }, () => element("span")));
  const cells = element("div", { class: "lab-cells", role: "group" });
  const scenes = select(...spec.scenes.map((s, i) => option(i, `${i + 1}. ${s.title}`)), option(-1, "Empty paper"));
  const kind = select(...[...new Set(spec.kinds.map((k) => k[1]))].map((c) => element("optgroup", { label: c }, ...spec.kinds.filter((k) => k[1] === c).map((k) => option(k[0])))));
  const size = select(...spec.sizes.map((s) => option(s))), colour = select(...spec.colours.map((c) => option(c)));
  const name = `lab-tool-${Math.random().toString(36).slice(2)}`;
  const tools = ["Put", "Take away", "Cover"].map((text, i) => {
    const radio = element("input", { type: "radio", name, value: i, onchange: () => board() });
    radio.checked = i === 0;
    return { radio, label: element("label", {}, radio, ` ${text}`) };
  });
  const slider = (min, max, step, value, changed) => element("input", { type: "range", min, max, step, value, oninput: changed });
  const noise = slider(0, 990, 10, 0, () => { dials(); changed(); }), constant = slider(-6, 6, 0.5, 0, () => { dials(); changed(); });
  const noiseSays = element("output"), constantSays = element("output");
  const povid = element("input", { type: "checkbox", role: "switch", onchange: () => changed() });
  const drawn = element("input", { type: "checkbox", onchange: () => changed() });
  const seen = element("input", { type: "checkbox", onchange: () => draw() });
  seen.checked = true;
  const question = select(...spec.questions.map((q) => option(q)));
  const ask = button("Answer", () => { seed++; run(); }, "lab-ask");
  const words = element("p", { class: "lab-words", role: "group", "aria-label": "The model's words" });
  const verdict = element("p", { class: "lab-verdict" }), bars = element("div", { class: "lab-bars" });
  const progress = element("progress", { max: 1, "aria-label": "The model comes" }), status = element("p", { class: "lab-status", role: "status" });
  const equality = element("p", { class: "lab-equality" });
  progress.hidden = true;

  mount(el, "lab",
    element("div", { class: "lab-left" },
      labelled("Scene", scenes),
      element("div", { class: "lab-picture" }, canvas, overlay, cells),
      element("fieldset", {}, element("legend", {}, "In the picture"), ...tools.map((t) => t.label)),
      element("div", { class: "lab-row lab-put" }, labelled("Object", kind), labelled("Size", size), labelled("Colour", colour)),
      element("label", { class: "lab-slider" }, element("span", {}, "Noise: ", noiseSays), noise),
      element("div", { class: "lab-row" }, button("Cover all", () => { hidden = new Set(Array(grid ** 2).keys()); tools[2].radio.checked = true; board(); changed(); }),
        button("As it was", () => show(given)))),
    element("div", { class: "lab-right" },
      element("div", { class: "lab-row" }, ask, element("label", { class: "lab-switch" }, povid, " POVID (the tuned model)"), element("label", {}, drawn, " draw words by chance")),
      labelled("Question", question),
      element("label", { class: "lab-slider" }, element("span", {}, "Constant on the end token: ", constantSays), constant),
      progress, status, words, verdict,
      element("label", {}, seen, " show where the chosen word's attention lies"),
      bars, equality));
  [kind, question].forEach((s) => s.addEventListener("change", () => { dials(); if (s === question) changed(); }));
  scenes.onchange = () => show(+scenes.value);

  // --- the picture ---
  const tool = () => tools.findIndex((t) => t.radio.checked);
  const at = (c) => scene.items.filter((item) => item.cells.includes(c));

  function show(index) {
    given = index;
    scene = structuredClone(index < 0 ? { ...spec.scenes[0], items: [], marks: [] } : spec.scenes[index]);
    hidden = new Set(); noise.value = 0;
    board(); dials();
    if (!own && index === 0) precomputed(); else changed();
  }

  function picture() {
    const whole = paint(scene, spec, sprite), paper = paint({ ...scene, items: [], marks: [] }, spec, sprite);
    const spoilt = +noise.value ? noised(whole, +noise.value - 1, chance(11)) : whole;
    return covered(spoilt, paper, hidden, spec);
  }

  // the buttons over the picture: nine cells to put objects into, or a patch each to cover
  function board() {
    const covering = tool() === 2, columns = covering ? grid : side / cell;
    const names = Array.from({ length: columns ** 2 }, (_, i) => covering ? `Row ${Math.floor(i / grid) + 1}, column ${(i % grid) + 1}` : positions[i]);
    const focused = [...cells.children].indexOf(document.activeElement);
    cells.style.setProperty("--columns", columns);
    cells.setAttribute("aria-label", covering ? "Patches of the picture: cover or uncover" : `Places in the picture: ${["put the chosen object", "take away"][tool()]}`);
    cells.replaceChildren(...names.map((name, i) => {
      const inside = covering ? [] : at(i).map((item) => item.name);
      const node = element("button", { type: "button", "aria-label": covering ? name : `${name}: ${inside.join(", ") || "empty"}`, onclick: () => press(i) });
      if (covering) node.setAttribute("aria-pressed", hidden.has(i));
      node.tabIndex = -1;
      return node;
    }));
    if (focused >= 0 && focused < names.length) cells.children[focused].tabIndex = 0;
    roving(cells, () => columns);
    if (focused >= 0 && focused < names.length) cells.children[focused].focus();
    repaint();
  }

  function press(i) {
    if (tool() === 2) hidden.has(i) ? hidden.delete(i) : hidden.add(i);
    else {
      for (const item of at(i)) {
        const gone = item.cells.indexOf(i);
        item.cells.splice(gone, 1); item.places.splice(gone, 1);
      }
      scene.items = scene.items.filter((item) => item.cells.length);
      if (tool() === 0) scene.items.push({
        name: kind.value, size: size.value, colour: kinds.get(kind.value).recolourable ? colour.value : "", cells: [i],
        places: [[(i % 3) * cell + cell / 2, Math.floor(i / 3) * cell + cell / 2]], pale: false, faded: false, unseen: false,
      });
    }
    board();
    changed();
  }

  function repaint() {
    context.putImageData(new ImageData(picture(), side, side), 0, 0);
    const names = scene.items.map((item) => `${item.cells.length > 1 ? `${item.cells.length} times ` : ""}${item.name}${item.unseen ? " (a mark only)" : ""}`);
    canvas.setAttribute("aria-label", `Picture of: ${names.join(", ") || "nothing"}. ${hidden.size} of ${grid ** 2} patches covered.`);
  }

  function dials() {
    colour.disabled = !kinds.get(kind.value).recolourable;
    noiseSays.textContent = +noise.value ? `step ${noise.value}` : "none";
    constantSays.textContent = +constant.value ? (constant.value > 0 ? `+${constant.value}: ends sooner` : `${constant.value}: goes on longer`) : "0";
    noise.setAttribute("aria-valuetext", noiseSays.textContent);
    constant.setAttribute("aria-valuetext", constantSays.textContent);
    repaint();
  }

  // --- the model ---
  const untouched = () => given === 0 && !hidden.size && !+noise.value && !+constant.value && !drawn.checked && question.selectedIndex === 0 &&
    JSON.stringify(scene) === JSON.stringify(spec.scenes[0]);

  function precomputed() {
    const { words: texts, next, probs } = spec.answers[+povid.checked];
    said = texts.map((text, i) => ({ text, p: probs[i], next: next[i], attention: null }));
    chosen = firstFalse();
    status.textContent = "This answer was computed beforehand. The model (7.9 MB, and half a megabyte for POVID) is fetched when you press Answer.";
    draw();
  }

  let timer = 0;
  function changed() {
    if (own) { clearTimeout(timer); timer = setTimeout(run, 120); return; }
    if (untouched()) { precomputed(); return; }
    said = null;
    status.textContent = "Press Answer: the model (7.9 MB) is fetched, and looks at this picture.";
    draw();
  }

  async function run() {
    clearTimeout(timer);
    const mine = ++running, begun = performance.now();
    const told = (part, whole) => {
      progress.hidden = part >= whole && whole > 0;
      if (whole) progress.value = part / whole; else progress.removeAttribute("value");
      status.textContent = `The model comes: ${megabytes(part)}${whole ? ` of ${megabytes(whole)}` : ""} MB`;
    };
    ask.disabled = true;
    el.setAttribute("aria-busy", "true");
    try {
      const { ask: request, stop, model } = await engine(told);
      if (povid.checked) await adapter(told);
      progress.hidden = true;
      own ??= tokenizer(model.tokenizer);
      if (mine !== running) return;
      stop();
      ask.disabled = false;
      said = []; chosen = -1;
      status.textContent = "The model looks ...";
      const fetched = performance.now();
      let first = 0;
      await request("answer", {
        ids: own.prompt(question.value), pixels: pixelValues(model, picture()), adapter: +povid.checked, endBias: +constant.value, seed: drawn.checked ? seed : null,
      }, ({ token, probs, attention }) => {
        if (mine !== running) return;
        first ||= performance.now();
        if (token === model.end_token) return;
        const best = Array.from(probs.keys()).sort((a, b) => probs[b] - probs[a]).slice(0, 7);
        said.push({ text: own.text[token], p: probs[token], next: best.map((id) => [own.text[id], probs[id]]), attention: meanOf(attention) });
        soon();
      });
      if (mine !== running) return;
      const end = performance.now(), each = (end - first) / Math.max(1, said.length);
      status.textContent = `${said.length} tokens. Fetched in ${((fetched - begun) / 1000).toFixed(2)} s, first word after ${((first - fetched) / 1000).toFixed(2)} s, ` +
        `then ${each.toFixed(0)} ms a token.`;
      chosen = firstFalse();
      draw();
      el.removeAttribute("aria-busy");
      await check(request, model);
    } catch (error) {
      if (mine !== running) return;
      progress.hidden = true;
      status.textContent = `${error.message} Press Answer to try again.`;
    } finally {
      if (mine === running) { ask.disabled = false; el.removeAttribute("aria-busy"); }
    }
  }

  // the same picture and text as PyTorch read when the book was built: by how much do the logits differ?
  async function check(request, model) {
    const which = +povid.checked, { prompt, tokens, logits } = spec.answers[which];
    if (check[which]) return;
    check[which] = true;
    const pixels = pixelValues(model, paint(spec.scenes[0], spec, sprite));
    const found = await request("read", { pixels, ids: [...prompt, ...tokens], adapter: which });
    difference = Math.max(difference, ...logits.map((value, i) => Math.abs(value - found.logits[i])));
    equality.textContent = difference <= 2 * TAU ? `Checked in this page: on scene 1 its ${logits.length} logits differ from PyTorch's by at most ${difference.toFixed(5)}.`
      : `This page's logits differ from PyTorch's by ${difference.toFixed(4)}: do not trust its answers.`;
  }

  const meanOf = (attention) => {
    const n = grid ** 2, rows = attention.length / n;
    return Array.from({ length: n }, (_, p) => { let sum = 0; for (let r = 0; r < rows; r++) sum += attention[r * n + p]; return sum / rows; });
  };

  // --- what it says ---
  function marks() { // a verdict for each token: of what stands in its letters
    const text = said.map((w) => w.text).join(""), found = judged(text, scene.items, spec);
    let from = 0;
    return said.map(({ text: word }) => {
      const to = from + word.length, own = found.filter((f) => f.from < to && f.to > from);
      from = to;
      return own.find((f) => f.verdict === "false") ?? own[0] ?? { verdict: "none", why: "" };
    });
  }
  const firstFalse = () => { const i = marks().findIndex((m) => m.verdict === "false"); return i < 0 ? 0 : i; };

  let waiting = false;
  function soon() { // several tokens may come between two frames
    if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
    waiting = true;
  }

  function draw() {
    const found = said ? marks() : [];
    words.replaceChildren(...(said ?? []).map(({ text, p }, i) => {
      const { verdict: is, why } = found[i];
      const node = element("button", { type: "button", "data-verdict": is, "aria-pressed": i === chosen, title: why ? `${text.trim()}: ${why}` : "",
        onclick: () => { chosen = i; draw(); words.children[i].focus(); } }, element("span", {}, text.trim() || "␣"), element("small", {}, percent(p)),
        element("span", { class: "povid-spoken" }, ` percent${why ? `, ${why}` : ""}`));
      node.tabIndex = i === Math.max(0, chosen) ? 0 : -1;
      return node;
    }));
    if (said?.length) roving(words, () => 1);
    const wrong = found.filter((f) => f.verdict === "false");
    const objects = found.filter((f) => f.why === "not in the picture").length;
    verdict.textContent = !said?.length ? "" : wrong.length ? `False words, in red: ${wrong.length}. Objects among them that are not there: ${objects}.` : "No word is false.";
    const word = said?.[chosen];
    overlay.hidden = !seen.checked || !word?.attention;
    if (!overlay.hidden) {
      const top = Math.max(...word.attention);
      word.attention.forEach((value, i) => overlay.children[i].style.setProperty("--weight", (value / top).toFixed(3)));
    }
    if (!word) { bars.replaceChildren(); return; }
    const list = element("ol", {}, ...word.next.map(([text, p]) => {
      const item = element("li", {}, element("span", {}, text.trim() || "␣"), element("i", { "aria-hidden": "true" }), element("small", {}, `${percent(p)} %`));
      item.style.setProperty("--p", p.toFixed(4));
      return item;
    }));
    const share = word.attention ? ` ${percent(word.attention.reduce((a, b) => a + b, 0))} % of its attention lies on the picture${seen.checked ? ", most where it is darkest" : ""}.` : "";
    bars.replaceChildren(element("p", {}, "In place of ", element("b", {}, word.text.trim()), ` the model expected:${share}`), list);
  }

  show(0);
  setTimeout(prepare, 200); // once the page stands
}

const place = document.getElementById("laboratory");
laboratory(place).catch(() => place.append("The laboratory could not be started: its files could not be read. A page opened as a file may not read them; " +
  "serve the book's folder, for example with `python -m http.server`, and open it there."));
