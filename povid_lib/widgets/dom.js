// Put before every widget's own script, see base.py.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// the same for what is drawn: a node of SVG
function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// The specification. Its objects inherit nothing, so that a word such as "constructor" is in them only if it was put there.
function specOf(model) {
  return JSON.parse(model.get("spec"), (_, value) =>
    value && Object.getPrototypeOf(value) === Object.prototype ? Object.assign(Object.create(null), value) : value);
}

function mount(el, name, ...children) {
  el.classList.add("povid-widget", name);
  el.replaceChildren(...children);
}

// a group of buttons with one stop of the Tab key: arrow keys go from one to the next, Home and End to the ends
function roving(box, columns) {
  const all = [...box.children];
  const enter = (button) => all.forEach((b) => { b.tabIndex = b === button ? 0 : -1; });
  enter(all.find((b) => b.tabIndex === 0) ?? all[0]);
  box.onfocusin = (event) => enter(event.target);
  box.onkeydown = (event) => {
    const at = all.indexOf(event.target), by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns(), Home: -at, End: all.length - 1 - at }[event.key];
    if (by === undefined || at < 0) return;
    event.preventDefault();
    all[Math.min(all.length - 1, Math.max(0, at + by))].focus();
  };
}
