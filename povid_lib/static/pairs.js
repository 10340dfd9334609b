// Pairs side by side, with the words that differ marked.

function render({ model, el }) {
  const { pairs } = model.get("spec");
  let at = 0;

  const picture = element("img", { class: "pairs-picture", alt: "" });
  const chosen = element("p", { class: "pairs-chosen" });
  const rejected = element("p", { class: "pairs-rejected" });
  const prompt = element("p", { class: "pairs-prompt" });
  const changes = element("ul");
  const count = element("span", { role: "status" });
  const button = (label, step) => element("button", { type: "button", onclick: () => { at = (at + step + pairs.length) % pairs.length; draw(); } }, label);

  el.classList.add("pairs");
  el.replaceChildren(
    element("div", { class: "pairs-left" }, picture,
      element("div", { class: "pairs-buttons" }, button("Previous", -1), button("Next", 1), count)),
    element("div", { class: "pairs-right" }, prompt,
      element("p", { class: "pairs-label" }, "chosen"), chosen,
      element("p", { class: "pairs-label" }, "rejected"), rejected,
      element("p", { class: "pairs-label" }, "what was changed"), changes));

  // words with a flag: is this word among the changed ones?
  const write = (node, words) => node.replaceChildren(...words.map(([word, changed]) =>
    changed ? element("mark", {}, `${word} `) : `${word} `));

  function draw() {
    const pair = pairs[at];
    picture.src = pair.png;
    picture.alt = `Picture of: ${pair.names.join(", ")}`;
    prompt.textContent = pair.prompt;
    write(chosen, pair.chosen);
    write(rejected, pair.rejected);
    changes.replaceChildren(...pair.changes.map(([kind, a, b]) => element("li", {}, `${kind}: "${a}" became "${b}"`)));
    count.textContent = `${at + 1} of ${pairs.length} (${pair.label})`;
  }

  draw();
}

export default { render };
