// A displayed equation that is wider than its place is drawn smaller, down to three fifths; what is wider still can be scrolled, also
// by the keyboard. So nothing of it is ever cut off.

const SMALLEST = 0.6;

function fit() {
  for (const math of document.querySelectorAll("div.math mjx-container[display='true']")) {
    const box = math.closest("div.math");
    math.style.fontSize = "";
    box.removeAttribute("tabindex");
    for (let scale = 1; box.scrollWidth > box.clientWidth + 1 && scale > SMALLEST;) {
      scale = Math.max(SMALLEST, scale * Math.min(0.98, box.clientWidth / box.scrollWidth));
      math.style.fontSize = `${100 * scale}%`;
    }
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
  }
}

async function watch() {
  if (!window.MathJax?.startup) return;
  await window.MathJax.startup.promise;
  fit();
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; fit(); } });
}

window.addEventListener("load", watch);
