// A formula that is wider than its place is drawn smaller, down to three fifths; what is wider still can be scrolled, also by the
// keyboard. So nothing of it is ever cut off. The theme makes a formula's own element the one that scrolls.

const SMALLEST = 0.6;

function fit() {
  for (const math of document.querySelectorAll(".math mjx-container")) {
    math.dataset.size ??= parseFloat(math.style.fontSize) || 100; // MathJax's own, in percent
    math.style.fontSize = `${math.dataset.size}%`;
    const tooWide = () => math.scrollWidth > math.clientWidth + 1;
    for (let scale = 1; tooWide() && scale > SMALLEST;) {
      scale = Math.max(SMALLEST, scale * Math.min(0.98, math.clientWidth / math.scrollWidth));
      math.style.fontSize = `${math.dataset.size * scale}%`;
    }
    if (tooWide()) math.tabIndex = 0;
  }
}

async function watch() {
  await window.MathJax?.startup?.promise;
  fit();
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; fit(); } });
}

window.addEventListener("load", watch);
