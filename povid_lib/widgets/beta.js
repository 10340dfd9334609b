// Every answer of a tiny world under the best policy for a beta that the reader moves. All numbers are computed beforehand.

function render({ model, el }) {
  const { answers, views, best } = specOf(model);
  let at = 0;

  const slider = element("input", { type: "range", min: 0, max: views.length - 1, step: 1, value: 0, oninput: () => { at = +slider.value; draw(); } });
  const shown = element("output", { class: "beta-now" });
  const status = element("p", { role: "status" });
  const rows = element("tbody");

  const width = 260, height = 190, left = 38, bottom = 34, top = 10;
  const farthest = Math.max(...views.map(v => v.kl)), lowest = views[0].reward;
  const x = (kl) => left + (width - left - 14) * kl / farthest;
  const y = (reward) => height - bottom - (height - bottom - top) * (reward - lowest) / (best - lowest);
  const dot = drawn("circle", { r: 6, class: "beta-dot" });
  const plot = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "beta-plot" },
    drawn("polyline", { class: "beta-curve", points: views.map(v => `${x(v.kl)},${y(v.reward)}`).join(" ") }),
    drawn("polyline", { class: "beta-axes", points: `${left},${top} ${left},${height - bottom} ${width - 6},${height - bottom}` }),
    ...[lowest, best].map(r => drawn("text", { x: left - 5, y: y(r) + 4, "text-anchor": "end" }, r.toFixed(1))),
    ...[0, farthest].map(k => drawn("text", { x: x(k), y: height - bottom + 15, "text-anchor": "middle" }, k.toFixed(1))),
    drawn("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "divergence from the reference"),
    drawn("text", { x: 10, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${(top + height - bottom) / 2})` }, "mean reward"),
    dot);

  mount(el, "beta",
    element("div", { class: "beta-left" },
      element("label", {}, "\u03b2, from infinite (left) to small (right) ", slider), shown, plot, status),
    element("div", { class: "beta-right" },
      element("table", {},
        element("thead", {}, element("tr", {}, ...["answer", "reward", "probability"].map(h => element("th", { scope: "col" }, h)))),
        rows),
      element("p", {}, "Bold: names only what is there. The upright stroke marks the reference.")));

  function draw() {
    const view = views[at], name = view.beta === null ? "\u221e (the reference)" : view.beta.toPrecision(2);
    slider.setAttribute("aria-valuetext", `beta ${view.beta === null ? "infinite" : name}`);
    shown.textContent = `\u03b2 = ${name}`;
    dot.setAttribute("cx", x(view.kl));
    dot.setAttribute("cy", y(view.reward));
    plot.setAttribute("aria-label", `Mean reward over divergence: a rising curve that flattens, now at divergence ${view.kl.toFixed(2)} and reward ${view.reward.toFixed(2)}`);
    rows.replaceChildren(...answers.map(({ text, reward, lie }, i) => element("tr", { "data-lie": lie },
      element("th", { scope: "row" }, text),
      element("td", {}, reward === null ? "" : reward.toFixed(1)),
      element("td", {},
        element("span", { class: "beta-track" },
          element("span", { class: "beta-bar", style: `width: ${100 * view.probs[i]}%` }),
          element("span", { class: "beta-was", style: `left: ${100 * views[0].probs[i]}%` })),
        ` ${view.probs[i].toFixed(2)}`))));
    status.textContent = `Mean reward ${view.reward.toFixed(2)}, divergence ${view.kl.toFixed(2)} nats; ${Math.round(100 * view.lies)}% of the answers name what is not there.`;
  }

  draw();
}

export default { render };
