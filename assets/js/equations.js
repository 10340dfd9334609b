// A formula that is wider than its place is drawn smaller, down to three fifths; what is wider still can be scrolled, also by the
// keyboard. So nothing of it is ever cut off.

const SMALLEST = 0.6;

function fit() {
  for (const math of document.querySelectorAll(".math mjx-container")) {
    const drawn = math.querySelector("mjx-math");
    const place = math.closest("div.math") ? math : math.parentElement; // in a line of text the span around it is what cuts
    const width = () => drawn.getBoundingClientRect().width;
    const tooWide = () => width() > place.clientWidth + 2; // a letter's slant may lean over its box
    math.dataset.size ??= parseFloat(math.style.fontSize) || 100; // MathJax's own, in percent
    math.style.fontSize = `${math.dataset.size}%`;
    for (let scale = 1; tooWide() && scale > SMALLEST;) {
      scale = Math.max(SMALLEST, scale * Math.min(0.98, place.clientWidth / width()));
      math.style.fontSize = `${math.dataset.size * scale}%`;
    }
    if (tooWide()) {
      place.tabIndex = 0;
      place.style.overflowX = "auto";
    }
  }
}

async function watch() {
  await window.MathJax?.startup?.promise;
  fit();
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; fit(); } });
}

window.addEventListener("load", watch);
