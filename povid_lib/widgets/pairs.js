// Pairs with their picture covered: say which answer is false, then see the picture, the changed words and the hits so far.

function render({ model, el }) {
  const { pairs } = specOf(model);
  const guesses = pairs.map(() => null); // 0 or 1: the answer taken to be false; "none": uncovered without a guess
  let at = 0;

  const frame = element("div", { class: "pairs-frame" });
  const prompt = element("p", { class: "pairs-prompt" });
  const answers = ["A", "B"].map(() => element("p", { class: "pairs-answer" }));
  const verdict = element("p", { class: "pairs-verdict", role: "status" });
  const changes = element("ul");
  const count = element("p", { class: "pairs-count" });
  const hits = element("p", { class: "pairs-hits" });
  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const go = (step) => () => { at = (at + step + pairs.length) % pairs.length; draw(); };
  const choices = [
    button("A is false", () => guess(0)),
    button("B is false", () => guess(1)),
    button("Reveal", () => guess("none")),
  ];

  mount(el, "pairs",
    element("div", { class: "pairs-left" }, frame, count,
      element("div", { class: "pairs-buttons" }, button("Previous", go(-1)), button("Next", go(1)))),
    element("div", { class: "pairs-right" }, prompt,
      element("p", { class: "pairs-label" }, "Answer A"), answers[0],
      element("p", { class: "pairs-label" }, "Answer B"), answers[1],
      element("div", { class: "pairs-buttons" }, ...choices),
      verdict, changes, hits));

  function guess(which) {
    if (guesses[at] !== null) return;
    guesses[at] = which;
    draw();
  }

  // words with a flag: is this word among those that differ?
  const write = (node, words, marked, verdict) => node.replaceChildren(...words.map(([word, changed]) =>
    changed && marked ? element("mark", { "data-verdict": verdict }, `${word} `) : `${word} `));

  function tally() {
    const guessed = pairs.map((pair, i) => [pair, guesses[i]]).filter(([, g]) => g === 0 || g === 1);
    const right = (rows) => `${rows.filter(([pair, g]) => g === pair.false).length} of ${rows.length}`;
    const labels = [...new Set(guessed.map(([pair]) => pair.label))];
    const each = labels.map((label) => `${label} ${right(guessed.filter(([pair]) => pair.label === label))}`);
    return guessed.length ? `Recognised without the picture: ${right(guessed)} (${each.join(", ")}).` : "";
  }

  function draw() {
    const pair = pairs[at], open = guesses[at] !== null;
    frame.replaceChildren(open
      ? element("img", { class: "pairs-picture", src: pair.png, alt: `Picture of: ${pair.names.join(", ")}` })
      : element("p", { class: "pairs-cover" }, "The picture is covered. Which answer is false?"));
    prompt.textContent = pair.prompt;
    answers.forEach((node, i) => write(node, pair.answers[i], open, i === pair.false ? "false" : "true"));
    choices.forEach((choice) => choice.setAttribute("aria-disabled", String(open)));
    const said = guesses[at] === "none" ? "" : guesses[at] === pair.false ? "Right: " : "Wrong: ";
    verdict.textContent = open ? `${said}${"AB"[pair.false]} is the false one (${pair.label}).` : "";
    changes.replaceChildren(...(open ? pair.changes : []).map(([kind, a, b]) =>
      element("li", {}, `${kind}: "${a}" became "${b}"`)));
    count.textContent = `Pair ${at + 1} of ${pairs.length}`;
    hits.textContent = tally();
  }

  draw();
}

export default { render };
