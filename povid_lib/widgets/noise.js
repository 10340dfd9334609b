// A picture under more and more noise: what the model expects next, and its own token at every place of the true caption.

function render({ model, el }) {
  const { scenes, steps } = specOf(model);
  let at = 0, level = 0;

  const picture = element("img", { class: "noise-picture", alt: "" });
  const slider = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: 0, oninput: () => { level = +slider.value; draw(); } });
  const shown = element("output", { class: "noise-step" });
  const next = element("tbody");
  const context = element("p", { class: "noise-context" });
  const words = element("p", { class: "noise-words" });
  const count = element("p", { role: "status" });
  const select = element("select", { onchange: () => { at = +select.value; draw(); } });
  scenes.forEach((s, i) => select.append(element("option", { value: i }, s.title)));

  mount(el, "noise",
    element("div", { class: "noise-left" },
      element("label", {}, "Scene ", select), picture,
      element("label", {}, "Noise step ", slider), shown),
    element("div", { class: "noise-right" },
      context,
      element("table", {},
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "next word"), element("th", { scope: "col" }, "probability"), element("th", { scope: "col" }, "it is"))),
        next),
      element("p", {}, "The true caption, and under each word what the model would say there:"),
      words, count));

  const bar = (p) => element("span", { class: "noise-bar", style: `width: ${Math.max(1, 100 * p)}%` });

  function draw() {
    const scene = scenes[at], view = scene.views[level];
    slider.setAttribute("aria-valuetext", `step ${steps[level]}`);
    shown.textContent = `${steps[level]}`;
    picture.src = view.png;
    picture.alt = `Picture of: ${scene.names.join(", ")}, at noise step ${steps[level]}`;
    context.textContent = `After "${scene.so_far}" the model expects:`;
    next.replaceChildren(...view.next.map(([word, p, what]) => element("tr", { "data-what": what },
      element("th", { scope: "row" }, word), element("td", {}, bar(p), ` ${p.toFixed(2)}`), element("td", {}, what))));
    words.replaceChildren(...scene.labels.map((label, i) => {
      const [token, sort] = view.tokens[i];
      const own = sort === "same" ? "\u00a0" : token;
      return element("span", { class: "noise-word", "data-sort": sort }, element("span", {}, label), element("span", { class: "noise-own" }, own));
    }));
    const changed = view.tokens.filter(([, sort]) => sort !== "same").length;
    const companions = view.tokens.filter(([, sort]) => sort === "companion").length;
    count.textContent = `${changed} of ${view.tokens.length} tokens changed, ${companions} of them into a missing partner.`;
  }

  draw();
}

export default { render };
