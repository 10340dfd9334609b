// What is wider than its place can be scrolled. On a phone nothing shows that, so its right edge fades while there is more.

const WIDE = [
  ".pst-scrollable-table-container", // Markdown's tables
  ".cell_output .text_html:has(table)", // a cell's tables
  ".cell_output pre", // what a cell printed
  ".highlight pre", // code
  "div.math mjx-container",
  "span.math",
].map((place) => `.bd-article ${place}`).join(", ");

function mark(place) {
  const scrolls = ["auto", "scroll"].includes(getComputedStyle(place).overflowX); // a formula in a line mostly does not
  const left = place.scrollWidth - place.clientWidth - place.scrollLeft;
  place.classList.toggle("more-to-the-right", scrolls && left > 4);
}

async function watchWide() {
  await window.MathJax?.startup?.promise; // formulas are there
  const size = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const place of document.querySelectorAll(WIDE)) {
    place.addEventListener("scroll", () => mark(place), { passive: true });
    size.observe(place);
  }
}

window.addEventListener("load", watchWide);
