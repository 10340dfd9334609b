// One word of an answer, and a map of it over the picture: where the model looks, or what it depends on; before and after tuning.

function render({ model, el }) {
  const { scenes, labels, side } = specOf(model);
  const kinds = Object.keys(scenes[0].words[0].models[labels[0]].maps);
  const what = {
    "all layers": "raw attention, mean of all layers and heads",
    rollout: "attention rolled out through the layers",
    gradient: "attention weighted by its gradient",
    occlusion: "occlusion: log-probability lost without the patch",
  };
  let at = 0, word = 0, kind = "all layers", label = labels[0];

  const id = `where-${Math.random().toString(36).slice(2)}`;
  const picture = element("img", { alt: "" });
  const cells = Array.from({ length: side * side }, () => element("span"));
  const answer = element("p", { class: "where-answer" });
  const table = element("tbody");
  const status = element("p", { role: "status" });
  const sceneSelect = element("select", { class: "where-scene", onchange: () => { at = +sceneSelect.value; word = 0; words(); draw(); } });
  const wordSelect = element("select", { class: "where-word", onchange: () => { word = +wordSelect.value; draw(); } });
  const kindSelect = element("select", { class: "where-kind", onchange: () => { kind = kindSelect.value; draw(); } });
  scenes.forEach((s, i) => sceneSelect.append(element("option", { value: i }, s.title)));
  kinds.forEach((name) => kindSelect.append(element("option", { value: name }, what[name] ?? `raw attention, ${name}`)));
  kindSelect.value = kind;
  const radios = labels.map((name) => {
    const input = element("input", { type: "radio", name: id, value: name, onchange: () => { label = name; draw(); } });
    input.checked = name === label;
    return element("label", {}, input, ` ${name}`);
  });

  mount(el, "where",
    element("div", { class: "where-left" },
      element("label", {}, "Scene ", sceneSelect),
      element("label", {}, "Word ", wordSelect),
      element("label", {}, "Map ", kindSelect),
      element("fieldset", {}, element("legend", {}, "Model"), ...radios),
      element("div", { class: "where-picture" }, picture, element("div", { class: "where-grid", "aria-hidden": "true" }, ...cells))),
    element("div", { class: "where-right" },
      answer,
      element("table", {},
        element("caption", {}, "Both models, this word and map"),
        element("thead", {}, element("tr", {}, element("td"), ...labels.map((name) => element("th", { scope: "col" }, name)))),
        table),
      status));

  function words() {
    wordSelect.replaceChildren(...scenes[at].words.map((w, i) =>
      element("option", { value: i }, w.true ? w.word : `${w.word} (false; marked: the ${w.name})`)));
  }

  function values(of) {
    const [largest, text] = of.maps[kind];
    return Array.from(atob(text), (c) => c.charCodeAt(0) / 255 * largest);
  }

  const odds = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  const percent = (share) => share === null ? "none" : `${(100 * share).toFixed(1)}%`;

  function draw() {
    const scene = scenes[at], asked = scene.words[word], map = values(asked.models[label]);
    const shown = labels.map((name) => Math.max(...values(asked.models[name])));
    const top = Math.max(...shown) || 1; // one scale for both models, so that they can be compared by eye
    map.forEach((value, i) => {
      cells[i].style.setProperty("--weight", (0.85 * value / top).toFixed(3));
      cells[i].dataset.own = asked.own[i];
    });
    picture.src = scene.png;
    const most = map.indexOf(Math.max(...map));
    const place = `row ${Math.floor(most / side) + 1}, column ${most % side + 1}`;
    const size = kind === "occlusion" ? `${map[most].toFixed(2)} nats` : map[most].toFixed(3);
    picture.alt = `Picture of: ${scene.names.join(", ")}; ${kind} for the word "${asked.word}", model ${label}, largest at ${place}`;
    const plain = asked.word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const [before, ...after] = asked.answer.split(new RegExp(`(?<!\\w)${plain}(?!\\w)`));
    answer.replaceChildren("Answer read to the model: ", before, element("strong", {}, asked.word), after.join(asked.word));
    const row = (name, read) => element("tr", {}, element("th", { scope: "row" }, name),
      ...labels.map((which) => element("td", {}, read(asked.models[which]))));
    const layer = /^layer/.test(kind) ? +kind.split(" ")[1] - 1 : asked.models[label].share.length - 1;
    const area = asked.own.reduce((a, b) => a + b, 0) / asked.own.length;
    table.replaceChildren(
      row(`attention to the picture, ${/^layer/.test(kind) ? kind : "mean of layers"}`, (m) => percent(m.share[layer])),
      row(`of the map, on the ${asked.name} (${percent(area)} of the area)`, (m) => percent(m.on[kind])),
      row(`log-odds of "${asked.word}"`, (m) => odds(m.odds[0])),
      row(`the same, ${asked.name} hidden`, (m) => odds(m.odds[1])),
      row("the same, all hidden", (m) => odds(m.odds[2])));
    status.textContent = `${label}: largest at ${place} (${size}), ${asked.own[most] ? "on" : "not on"} the ${asked.name}. ` +
      `Darker is more; dashed: patches of the ${asked.name}.`;
  }

  words();
  draw();
}

export default { render };
