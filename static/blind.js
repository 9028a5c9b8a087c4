// Blind votes by keys: 1 and 2 for an answer, 0 for as good, s to skip, u to undo.
(() => {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, textarea, select, dialog, [popover]")) return;
    const button = document.querySelector(`#vote [data-vote-key="${CSS.escape(event.key)}"]`);
    if (!button || button.form.hasAttribute("aria-busy")) return;
    event.preventDefault();
    button.click();
  });

  // One vote at a time: a key that is pressed before the next pair is there would vote on this one again.
  document.addEventListener("submit", (event) => { if (event.target.closest("#vote")) event.target.setAttribute("aria-busy", "true"); });
  document.addEventListener("htmx:after:request", () => document.querySelectorAll("#vote [aria-busy]").forEach((each) => each.removeAttribute("aria-busy")));
})();
