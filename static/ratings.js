// Stars and notes in the drawer: keys 1 to 5, and the mark of the cell that follows what was saved.
(() => {
  const rating = () => document.querySelector("#cell-detail:not([hidden]) [data-rating]");

  // The comparison puts the drawer in by itself: htmx has not seen its form yet.
  new MutationObserver((records) => {
    for (const { addedNodes } of records) for (const node of addedNodes) {
      if (node.nodeType === Node.ELEMENT_NODE && node.id === "cell-detail") htmx.process(node);
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  function choose(stars) {
    const form = rating().querySelector("form");
    const chosen = form.querySelector(`input[name="stars"][value="${stars}"]`);
    for (const each of form.elements.stars) each.checked = each === chosen;
    form.dispatchEvent(new Event("change", { bubbles: true }));
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("textarea, select, dialog, [popover], input:not([type='radio'])")) return;
    if (!/^[0-5]$/.test(event.key) || !rating()) return;
    event.preventDefault();
    choose(event.key === "0" ? "" : event.key);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-rating] [data-stars]");
    if (button) choose(button.dataset.stars);
  });

  // ── The mark of the cell ──
  // The comparison opens its drawer anew after every swap. This one was inside it: it goes no further.
  addEventListener("htmx:after:swap", (event) => {
    const saved = event.target.closest?.("[data-rating]");
    if (!saved) return;
    event.stopPropagation();
    delete document.documentElement.dataset.offline;
    if (saved === rating() && !saved.querySelector(".error")) mark(saved.querySelector("[data-mark]"));
  }, true);

  function mark(kept) {
    const cell = document.querySelector(".matrix td[aria-selected]");
    cell?.querySelector(".cell-rating")?.remove();
    cell?.append(kept.content.cloneNode(true));
  }
})();
