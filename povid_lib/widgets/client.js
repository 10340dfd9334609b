// The page's side of engine.js: fetches the model, keeps one worker for all widgets of the page, asks it.

const HERE = new URL(".", import.meta.url);

// bytes of a file beside this one; `told(part, whole)` in bytes while it comes
async function fetched(name, told) {
  let answer;
  try { answer = await fetch(new URL(name, HERE)); } catch {
    throw new Error(location.protocol === "file:" ? "A page opened as a file may not load the model. Serve the book's folder, for " +
      "example with `python -m http.server`, and open it there." : "The model could not be fetched; the connection failed.");
  }
  if (!answer.ok || (answer.headers.get("content-type") ?? "").includes("text/html"))
    throw new Error(`The model could not be fetched: ${name} is not on this server.`);
  const whole = Number(answer.headers.get("content-length")), parts = [], reader = answer.body.getReader();
  let length = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      parts.push(next.value);
      told(length += next.value.length, whole);
    }
  } catch { throw new Error("The model could not be fetched; the connection broke off."); }
  const bytes = new Uint8Array(length);
  parts.reduce((at, part) => { bytes.set(part, at); return at + part.length; }, 0);
  return bytes.buffer;
}

// a worker and its requests: ask(what, values, part?) -> promise of the answer; `part` is called with each token of an answer
function start() {
  if (typeof Worker === "undefined") throw new Error("This browser has no workers, in which the model runs.");
  const worker = new Worker(new URL("engine.js", HERE), { type: "module" }), waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data: { id, part, done, error } }) => {
    const asked = waiting.get(id);
    if (part) { asked?.part?.(part); return; }
    waiting.delete(id);
    if (error) asked.reject(new Error(error)); else asked.resolve(done);
  };
  worker.onerror = () => {
    for (const asked of waiting.values()) asked.reject(new Error("The model's script could not be run by this browser."));
    waiting.clear();
  };
  const ask = (what, values, part) => new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject, part });
    worker.postMessage({ ...values, id: count, what }, values.buffer ? [values.buffer] : []);
  });
  return { ask, stop: () => worker.postMessage({ what: "stop", id: count }), end: () => worker.terminate() };
}

let waiting = null, running = null, added = null, listeners = new Set();

// starts the worker, so that it is warm when it is asked; fetches no model
export function prepare() { if (typeof Worker !== "undefined") waiting ??= start(); }

const tell = (part, whole) => listeners.forEach((told) => told(part, whole));

async function begin() {
  const engine = waiting ?? start();
  waiting = null;
  try {
    return { ...engine, model: await engine.ask("load", { buffer: await fetched("pocket.safetensors", tell) }) };
  } catch (error) { engine.end(); throw error; }
}

// the engine with the model loaded: one a page. A failed start is forgotten, so that the next call tries again.
export async function engine(told = () => {}) {
  listeners.add(told);
  try { return await (running ??= begin()); } catch (error) { running = null; throw error; } finally { listeners.delete(told); }
}

// puts the adapter beside the model, once
export async function adapter(told = () => {}) {
  const { ask } = await engine(told);
  try { return await (added ??= fetched("pocket_povid.safetensors", told).then((buffer) => ask("adapter", { buffer }))); }
  catch (error) { added = null; throw error; }
}
