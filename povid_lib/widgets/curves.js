// The logs of two trainings side by side, with what each did to the captions. All numbers are computed beforehand.

const WIDTH = 330, HEIGHT = 200, LEFT = 44, BOTTOM = 34, TOP = 10, RIGHT = 10;
const STYLES = ["solid", "dashed", "dotted"];

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const said = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

function render({ model, el }) {
  const { methods, quantities, before } = specOf(model);
  const longest = Math.max(...methods.map(m => m.steps.length));
  const seeds = Math.max(...methods.flatMap(m => Object.values(m.series).flatMap(sides => Object.values(sides).map(each => each.length))));
  let quantity = 0, at = longest - 1;

  const select = (label, options, start, set) => {
    const box = element("select", { onchange: () => { set(+box.value); draw(); } },
      ...options.map((text, i) => element("option", { value: i, ...(i === start ? { selected: "" } : {}) }, text)));
    return element("label", {}, `${label} `, box);
  };
  const slider = element("input", { type: "range", min: 0, max: longest - 1, step: 1, value: at, oninput: () => { at = +slider.value; draw(); } });
  const panels = [0, Math.min(3, methods.length - 1)].map((start, side) => {
    const panel = { method: start, plot: element("div", { class: "curves-plot" }), status: element("p", { role: "status" }) };
    panel.el = element("div", { class: "curves-panel" },
      select(side === 0 ? "left" : "right", methods.map(m => m.label), start, (i) => { panel.method = i; }), panel.plot, panel.status);
    return panel;
  });

  mount(el, "curves",
    element("div", { class: "curves-top" },
      select("quantity", quantities, quantity, (i) => { quantity = i; }),
      element("label", {}, "along the training ", slider)),
    element("div", { class: "curves-panels" }, ...panels.map(p => p.el)),
    ...(seeds > 1 ? [element("p", {}, "Thick: mean of the seeds; thin: each seed.")] : []));

  function show({ method, plot, status }) {
    const { label, steps, series, ranges, after } = methods[method], name = quantities[quantity];
    const outcome = `Captions with a false object: ${said(before.chair_s, 2)} before, ${said(after.chair_s, 2)} after. Recall ${said(before.recall, 2)} before, ${said(after.recall, 2)} after.`;
    if (!series[name]) {
      plot.replaceChildren();
      status.textContent = `This training has no reference to compare with, so its log does not hold the ${name}. ${outcome}`;
      return;
    }
    const [low, high] = ranges[name], here = Math.min(at, steps.length - 1);
    const x = (step) => LEFT + (WIDTH - LEFT - RIGHT) * step / steps[steps.length - 1];
    const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low);
    const line = (values, kind) => drawn("polyline", { class: kind, points: values.map((v, i) => `${x(steps[i]).toFixed(1)},${y(v).toFixed(1)}`).join(" ") });
    const digits = high - low < 0.5 ? 3 : high - low < 2 ? 2 : 1;
    const apart = (high - low) / 8; // two labels need this much room
    const ticks = [low, low < -apart && high > apart ? 0 : (low + high) / 2, high];
    const sides = Object.entries(series[name]).map(([side, seeds], k) => ({
      side, style: STYLES[k], seeds, middle: steps.map((_, i) => mean(seeds.map(s => s[i]))) }));
    const reading = sides.map(({ side, style, middle }) => `${side}${sides.length > 1 ? ` (${style})` : ""} ${said(middle[here], 3)}`).join(", ");
    plot.replaceChildren(drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${label}, ${name} over ${steps.length} logs; at step ${steps[here]}: ${reading}` },
      ...(low < 0 && high > 0 ? [drawn("line", { class: "curves-zero", x1: LEFT, x2: WIDTH - RIGHT, y1: y(0), y2: y(0) })] : []),
      drawn("line", { class: "curves-here", x1: x(steps[here]), x2: x(steps[here]), y1: TOP, y2: HEIGHT - BOTTOM }),
      ...sides.flatMap(({ style, seeds }) => seeds.map(s => line(s, `curves-seed curves-${style}`))),
      ...sides.map(({ style, middle }) => line(middle, `curves-mean curves-${style}`)),
      drawn("polyline", { class: "curves-axes", points: `${LEFT},${TOP} ${LEFT},${HEIGHT - BOTTOM} ${WIDTH - RIGHT},${HEIGHT - BOTTOM}` }),
      ...ticks.map(t => drawn("text", { x: LEFT - 5, y: y(t) + 4, "text-anchor": "end" }, said(t, digits))),
      ...[0, steps[steps.length - 1]].map(s => drawn("text", { x: x(s), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, String(s))),
      drawn("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "step")));
    status.textContent = `Step ${steps[here]}: ${reading}. ${outcome}`;
  }

  function draw() {
    panels.forEach(show);
    slider.setAttribute("aria-valuetext", panels.map(p => { const { label, steps } = methods[p.method]; return `${label}: step ${steps[Math.min(at, steps.length - 1)]}`; }).join("; "));
  }

  draw();
}

export default { render };
