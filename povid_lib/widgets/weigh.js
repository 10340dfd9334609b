// What the POVID loss weighs, word by word, for an alpha, beta1 and beta2 that the reader moves. Log-probabilities are given.

function render({ model, el }) {
  const { pairs } = specOf(model);
  const settings = { alpha: 0.1, beta1: 0.05, beta2: 0.05 };
  const names = { alpha: "\u03b1, chosen", beta1: "\u03b2\u2081, rejected", beta2: "\u03b2\u2082, noised" };
  const presets = { "text and image": [0.1, 0.05, 0.05], "text, equal weights": [0.1, 0.1, 0], "text, 2 to 1": [0.1, 0.05, 0], "image only": [0.1, 0, 0.1] };
  let at = 0, picture = "noised", left = false;

  const image = element("img", { class: "weigh-picture", alt: "" });
  const select = element("select", { onchange: () => { at = +select.value; draw(); } });
  pairs.forEach((pair, i) => select.append(element("option", { value: i }, pair.title)));
  const scoring = element("select", { class: "weigh-scoring", onchange: () => { picture = scoring.value; draw(); } },
    element("option", { value: "noised" }, "noised picture (paper)"), element("option", { value: "clean" }, "clean picture (released code)"));
  const times = element("input", { type: "checkbox", onchange: () => { left = times.checked; draw(); } });
  const sliders = {}, shown = {};
  for (const key of Object.keys(settings)) {
    shown[key] = element("output", {});
    sliders[key] = element("input", { type: "range", min: key === "alpha" ? 0.01 : 0, max: 0.3, step: 0.01, value: settings[key], "data-name": key,
      oninput: () => { settings[key] = +sliders[key].value; draw(); } });
  }
  const set = (values) => { Object.keys(settings).forEach((key, i) => { settings[key] = values[i]; sliders[key].value = values[i]; }); draw(); };
  const lines = Object.fromEntries(["chosen", "rejected", "noised"].map(side => [side, element("p", { class: `weigh-words weigh-${side}` })]));
  const sums = element("p", { class: "weigh-sums" });
  const status = element("p", { role: "status" });

  mount(el, "weigh",
    element("div", { class: "weigh-left" },
      element("label", {}, "Pair ", select), image,
      ...Object.keys(settings).map(key => element("label", {}, `${names[key]} `, shown[key], sliders[key])),
      element("div", { class: "weigh-buttons" }, ...Object.entries(presets).map(([label, values]) => element("button", { type: "button", onclick: () => set(values) }, label))),
      element("label", {}, "Noised answer scored under the ", scoring),
      element("label", { class: "weigh-check" }, times, " times 1 \u2212 p: what is left to learn at each word")),
    element("div", { class: "weigh-right" },
      element("p", { class: "weigh-label" }, "chosen"), lines.chosen,
      element("p", { class: "weigh-label" }, "rejected"), lines.rejected,
      element("p", { class: "weigh-label" }, "noised"), lines.noised,
      sums, status));

  const rho = (words) => words.reduce((sum, [, policy, reference]) => sum + policy - reference, 0);
  const signed = (w) => Math.abs(w) < 5e-4 ? "0" : `${w > 0 ? "+" : "\u2212"}${Math.abs(w).toFixed(3).slice(1)}`;

  function draw() {
    const pair = pairs[at], noised = pair.noised[picture], clean = picture === "clean";
    const { alpha, beta1, beta2 } = settings;
    for (const key of Object.keys(settings)) {
      shown[key].textContent = settings[key].toFixed(2);
      sliders[key].setAttribute("aria-valuetext", `${key} ${settings[key].toFixed(2)}`);
    }
    image.src = pair.png;
    image.alt = `Picture of the scene, which shows: ${pair.names.join(", ")}`;
    const ratios = { chosen: rho(pair.chosen), rejected: rho(pair.rejected), noised: rho(noised) };
    const z = alpha * ratios.chosen - beta1 * ratios.rejected - beta2 * ratios.noised;
    const slope = 1 / (1 + Math.exp(z)), loss = Math.log1p(Math.exp(-z));
    // a token that two answers share is one log-probability: its weights are added where the chosen answer stands
    const net = {
      chosen: pair.chosen.map(([, , , shared], t) => alpha - (shared ? beta1 : 0) - (clean && noised[t][3] ? beta2 : 0)),
      rejected: pair.rejected.map(([, , , shared]) => shared ? null : -beta1),
      noised: noised.map(([, , , same]) => clean && same ? null : -beta2),
    };
    for (const [side, words] of Object.entries({ chosen: pair.chosen, rejected: pair.rejected, noised })) {
      lines[side].replaceChildren(...words.map(([word, policy], t) => {
        const merged = net[side][t] === null;
        const weight = merged ? 0 : slope * net[side][t] * (left ? 1 - Math.exp(policy) : 1);
        const size = Math.min(1, Math.abs(weight) / 0.1);
        const bar = element("span", { class: "weigh-bar", style: `height: ${(1.6 * size).toFixed(2)}em`, "data-sign": weight > 0 ? "up" : "down" });
        return element("span", { class: "weigh-word" }, element("span", { class: "weigh-track" }, bar), element("span", {}, word),
          element("span", { class: "weigh-number" }, merged ? "=" : signed(weight)));
      }));
    }
    const three = (x) => x.toFixed(3).replace("-", "\u2212");
    sums.textContent = `\u03c1 chosen ${three(ratios.chosen)}, rejected ${three(ratios.rejected)}, noised ${three(ratios.noised)}. \u03b1 \u2212 \u03b2\u2081 \u2212 \u03b2\u2082 = ${(alpha - beta1 - beta2).toFixed(2).replace("-0.00", "0.00").replace("-", "\u2212")}.`;
    const none = net.chosen.filter(w => Math.abs(w) < 1e-9).length;
    status.textContent = `z = ${three(z)}, sigmoid(\u2212z) = ${three(slope)}, loss = ${three(loss)}. ${none} of ${net.chosen.length} chosen tokens weigh nothing.`;
  }

  draw();
}

export default { render };
