// Every method of the study on one measure, best first, with the seeds as dots. All numbers are computed beforehand.

function render({ model, el }) {
  const { methods, measures, splits } = specOf(model);
  let measure = 0, split = 0, against = 0;

  const choice = (label, names, onchange) => element("label", {}, `${label} `, element("select", { onchange },
    ...names.map((name, i) => element("option", { value: i }, name))));
  const rows = element("tbody");
  const caption = element("caption");
  const status = element("p", { role: "status" });

  mount(el, "compare",
    element("div", { class: "compare-choices" },
      choice("Measure", measures.map(m => m.label), (e) => { measure = +e.target.value; draw(); }),
      choice("Scenes", splits.map(s => s.replace("_", "-")), (e) => { split = +e.target.value; draw(); }),
      choice("Against", methods.map(m => m.name), (e) => { against = +e.target.value; draw(); })),
    element("table", {}, caption,
      element("thead", {}, element("tr", {}, ...["method", "mean and 95% interval; a dot is a seed", "value", "difference"].map(h => element("th", { scope: "col" }, h)))),
      rows),
    status);

  function draw() {
    const { label, better } = measures[measure];
    const cell = (m) => m.values[split][measure];
    const known = methods.filter(m => cell(m) !== null);
    const ends = known.flatMap(m => [cell(m).low, cell(m).high, ...cell(m).seeds]);
    const low = Math.min(...ends), high = Math.max(...ends), span = high - low || 1;
    const place = (v) => `${(100 * (v - low) / span).toFixed(2)}%`;
    const digits = span > 5 ? 1 : 3;
    const reference = cell(methods[against]);
    const sorted = [...known].sort((a, b) => better * (cell(b).value - cell(a).value));
    caption.textContent = `${label}, ${splits[split].replace("_", "-")} scenes`;
    rows.replaceChildren(...sorted.map(m => {
      const { value, low: l, high: h, seeds } = cell(m);
      const track = element("span", { class: "compare-track", "aria-hidden": "true" },
        element("span", { class: "compare-interval", style: `left: ${place(l)}; width: ${(100 * (h - l) / span).toFixed(2)}%` }),
        ...seeds.map(s => element("span", { class: "compare-seed", style: `left: ${place(s)}` })),
        element("span", { class: "compare-mean", style: `left: ${place(value)}` }));
      if (reference) track.append(element("span", { class: "compare-mark", style: `left: ${place(reference.value)}` }));
      const change = reference && m !== methods[against] ? `${value - reference.value >= 0 ? "+" : "\u2212"}${Math.abs(value - reference.value).toFixed(digits)}` : "";
      return element("tr", { "data-group": m.group },
        element("th", { scope: "row" }, m.name),
        element("td", {}, track),
        element("td", {}, `${value.toFixed(digits)} [${l.toFixed(digits)}, ${h.toFixed(digits)}]`),
        element("td", {}, change));
    }));
    status.textContent = `Best: ${sorted[0].name}. ${reference ? `The line is at ${methods[against].name}, ${reference.value.toFixed(digits)}.` : `${methods[against].name} has no such measure.`}`;
  }

  draw();
}

export default { render };
