// Edit captions of a few scenes and watch CHAIR, recall and length move. No model: everything is counted here.

const share = (top, bottom) => (bottom ? (top / bottom).toFixed(3) : "–");

function render({ model, el }) {
  const { scenes, words, everything } = specOf(model);
  const captions = scenes.map((s) => s.caption);
  const use = { plural: true, synonym: true };
  let at = 0;

  const picture = element("img", { class: "score-picture", alt: "" });
  const text = element("textarea", { rows: 5, oninput: () => { captions[at] = text.value; draw(); } });
  const read = element("p", { class: "score-read" });
  const table = element("tbody");
  const select = element("select", { onchange: () => show(+select.value) });
  scenes.forEach((s, i) => select.append(element("option", { value: i }, s.title)));
  const all = (label, write) => element("button", { type: "button", onclick: () => {
    scenes.forEach((s, i) => { captions[i] = write(s); });
    show(at);
  } }, label);
  const option = (key, label) => {
    const box = element("input", { type: "checkbox", onchange: () => { use[key] = box.checked; draw(); } });
    box.checked = true;
    return element("label", {}, box, ` ${label}`);
  };

  mount(el, "score",
    element("div", { class: "score-left" }, element("label", {}, "Scene ", select), picture),
    element("div", { class: "score-right" },
      element("label", {}, "Caption of this scene (edit it) ", text),
      read,
      element("div", { class: "score-buttons", role: "group", "aria-label": "Captions of all scenes" },
        all("The model's", (s) => s.caption),
        all("First sentence only", (s) => s.caption.split(/(?<=\.)\s/)[0]),
        all("The truth", (s) => s.truth),
        all("Name everything", () => everything),
        all("Say nothing", () => "")),
      element("div", { class: "score-buttons", role: "group", "aria-label": "What the scorer knows" },
        option("plural", "knows plurals"), option("synonym", "knows synonyms")),
      element("table", {},
        element("thead", {}, element("tr", {}, ...["", "CHAIRₛ", "CHAIRᵢ", "recall", "words"].map((h) => element("th", { scope: "col" }, h)))),
        table)));

  // The objects that a caption names, in order, with the words between them
  function parse(caption) {
    return [...caption.matchAll(/[a-z]+|[^a-z]+/gi)].map(([part]) => {
      const [kind, form] = words[part.toLowerCase()] ?? [];
      return { part, kind: kind && (use[form] ?? true) ? kind : null };
    });
  }

  function count(i) {
    const named = parse(captions[i]).filter((p) => p.kind).map((p) => p.kind);
    const truth = scenes[i].names;
    return {
      mentions: named.length,
      wrong: named.filter((n) => !truth.includes(n)).length,
      found: truth.filter((n) => named.includes(n)).length,
      there: truth.length,
      length: captions[i].split(/\s+/).filter(Boolean).length,
    };
  }

  function row(label, counts) {
    const sum = (key) => counts.reduce((total, c) => total + c[key], 0);
    const cells = [share(counts.filter((c) => c.wrong).length, counts.length), share(sum("wrong"), sum("mentions")),
      share(sum("found"), sum("there")), (sum("length") / counts.length).toFixed(1)];
    return element("tr", {}, element("th", { scope: "row" }, label), ...cells.map((c) => element("td", {}, c)));
  }

  function draw() {
    const truth = scenes[at].names;
    read.replaceChildren(...parse(captions[at]).map(({ part, kind }) => {
      if (!kind) return part;
      const there = truth.includes(kind);
      return element("mark", { "data-verdict": there }, part, element("span", { class: "povid-spoken" }, there ? " (there)" : " (not there)"));
    }));
    table.replaceChildren(row("this scene", [count(at)]), row(`all ${scenes.length} scenes`, scenes.map((_, i) => count(i))));
  }

  function show(i) {
    at = i;
    select.value = i;
    picture.src = scenes[i].png;
    picture.alt = `Picture of: ${scenes[i].names.join(", ")}`;
    text.value = captions[i];
    draw();
  }

  show(0);
}

export default { render };
