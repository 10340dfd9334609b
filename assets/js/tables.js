// A table that is wider than its place can be scrolled. On a phone nothing shows that, so its right edge fades while there is more.

function mark(place) {
  const left = place.scrollWidth - place.clientWidth - place.scrollLeft;
  place.classList.toggle("more-to-the-right", left > 4);
}

function watchTables() {
  const size = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const place of document.querySelectorAll(".pst-scrollable-table-container, .cell_output .text_html:has(table)")) {
    place.addEventListener("scroll", () => mark(place), { passive: true });
    size.observe(place);
  }
}

window.addEventListener("load", watchTables);
