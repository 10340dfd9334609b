// Brings the page's widgets to life without a kernel. Each is an AnyWidget: its script, style and specification are in the page's
// widget state (povid_lib/widgets/base.py). Nothing else of ipywidgets is needed, so none of its 3.6 MB is loaded.

const VIEW = "script[type='application/vnd.jupyter.widget-view+json']";
const STATE = "script[type='application/vnd.jupyter.widget-state+json']";

// What a widget's script gets: the specification to read, and a kernel that does not answer, as there is none.
const modelOf = (state) => ({ get: (name) => state[name], on() {}, off() {}, send() {} });

const say = (el, text) => {
  const note = document.createElement("p");
  note.textContent = text;
  el.replaceChildren(note);
};

async function show(script, states) {
  const { model_id: id } = JSON.parse(script.textContent);
  const { model_module: by, state } = states[id];
  if (by !== "anywidget") throw new Error(`the page holds a widget of ${by}, which this book does not bring to life`);
  const el = document.createElement("div");
  script.after(el);
  const code = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
  try {
    const style = document.createElement("style");
    style.textContent = state._css;
    const { default: widget } = await import(code);
    el.before(style);
    await widget.render({ model: modelOf(state), el });
  } catch (error) {
    say(el, "This widget could not be started. The text does not depend on it.");
    throw error;
  } finally {
    URL.revokeObjectURL(code);
  }
}

function start() {
  const states = Object.assign({}, ...[...document.querySelectorAll(STATE)].map((s) => JSON.parse(s.textContent).state));
  for (const script of document.querySelectorAll(VIEW)) show(script, states);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
