// Questions with choices: a choice is marked when the reader asks for it, so that arrow keys can go through all of them first.

function render({ model, el }) {
  const { questions } = specOf(model);
  const first = questions.map(() => null); // whether the first answer to each was right
  const name = `quiz-${Math.random().toString(36).slice(2)}`; // two views of one quiz must not share their buttons
  const score = element("p", { class: "quiz-score", role: "status" });

  function tell() {
    const given = first.filter((f) => f !== null).length, right = first.filter(Boolean).length;
    score.textContent = given ? `${right} of ${given} right at the first try; ${questions.length - given} to go.` : "";
  }

  const asked = questions.map(({ text, choices, right }, i) => {
    const feedback = element("p", { class: "quiz-feedback", role: "status" });
    const inputs = [];
    const rows = choices.map(([words], k) => {
      const input = element("input", { type: "radio", name: `${name}-${i}`, value: k, onchange: () => {
        feedback.replaceChildren();
        delete feedback.dataset.right;
        check.disabled = false;
      } });
      inputs.push(input);
      return element("label", { class: "quiz-choice" }, input, element("span", {}, ...marked(words)));
    });
    const check = element("button", { type: "button", disabled: "", onclick: () => {
      const k = inputs.findIndex((input) => input.checked);
      if (k < 0) return;
      feedback.dataset.right = k === right;
      feedback.replaceChildren(element("strong", {}, k === right ? "Right. " : "Not this one. "), ...marked(choices[k][1]));
      first[i] ??= k === right;
      tell();
    } }, "Check", element("span", { class: "povid-spoken" }, ` question ${i + 1}`));
    return element("fieldset", { class: "quiz-question" },
      element("legend", {}, `${i + 1}. `, ...marked(text)), ...rows, check, feedback);
  });

  mount(el, "quiz", ...asked, score);
}

// text with `code`
function marked(text) {
  return text.split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));
}

export default { render };
