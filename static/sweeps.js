// A sweep: a cell of the heat map opens its answers beside it, arrow keys walk over the map; in the form, errors
// are told to a reader of the screen. Numbers and sentences are the server's.
(() => {
  const byId = (id) => document.getElementById(id);
  const drawer = () => byId("sweep-answers");
  const links = () => [...document.querySelectorAll(".heatmap td[data-checkpoint] > a")];
  let chosen = drawer()?.dataset.checkpoint ?? null; // the open checkpoint, which outlives swaps
  let fetching = null;

  // ── The answers of a cell ────────────────────────────────────────────────
  async function open(cell) {
    chosen = cell.dataset.checkpoint;
    mark();
    fetching?.abort();
    fetching = new AbortController();
    const address = byId("sweep").dataset.answers;
    try {
      const reply = await fetch(`${address}${address.includes("?") ? "&" : "?"}checkpoint=${chosen}`, {
        headers: { "HX-Request": "true", "HX-Request-Type": "partial" }, signal: fetching.signal,
      });
      if (!reply.ok) return;
      const holder = document.createElement("template");
      holder.innerHTML = await reply.text();
      drawer().replaceWith(holder.content.querySelector("#sweep-answers"));
      remember();
      // On a small screen the answers are a sheet over the lower half: the cell moves up to what is left.
      const isSheet = getComputedStyle(drawer()).position === "fixed";
      cell.scrollIntoView({ block: isSheet ? "start" : "nearest", inline: "nearest" });
    } catch (error) {
      if (error.name !== "AbortError") document.documentElement.dataset.offline = "";
    }
  }

  function close() {
    fetching?.abort();
    if (!drawer() || drawer().hidden) return;
    drawer().hidden = true;
    const cell = openCell();
    chosen = null;
    mark();
    remember();
    cell?.querySelector("a").focus({ preventScroll: true });
  }

  function remember() {
    const address = byId("sweep").dataset.url;
    history.replaceState(history.state, "", chosen ? `${address}${address.includes("?") ? "&" : "?"}cell=${chosen}` : address);
  }

  const openCell = () => chosen && document.querySelector(`.heatmap td[data-checkpoint="${CSS.escape(chosen)}"]`);

  // The open cell is marked; one cell is in the tab order: the open one, else the one to keep, else the first.
  function mark() {
    document.querySelectorAll(".heatmap td[data-open]").forEach((cell) => cell.removeAttribute("data-open"));
    const cell = openCell();
    cell?.setAttribute("data-open", "");
    const entry = cell || document.querySelector(".heatmap td[data-best]") || document.querySelector(".heatmap td[data-checkpoint]");
    for (const link of links()) link.tabIndex = link.parentElement === entry ? 0 : -1;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest(".heatmap td[data-checkpoint] > a");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      open(link.parentElement);
    }
    if (event.target.closest("[data-closes='sweep-answers']")) close();
  });

  // ── Keys ─────────────────────────────────────────────────────────────────
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function neighbour(cell, [down, right]) {
    if (right) {
      let next = cell;
      do next = right > 0 ? next.nextElementSibling : next.previousElementSibling;
      while (next && !next.matches("td[data-checkpoint]"));
      return next;
    }
    let row = cell.parentElement;
    do row = down > 0 ? row.nextElementSibling : row.previousElementSibling;
    while (row && !row.querySelector("td[data-checkpoint]"));
    if (!row) return null;
    const middle = (each) => { const box = each.getBoundingClientRect(); return box.left + box.width / 2; };
    const cells = [...row.querySelectorAll("td[data-checkpoint]")];
    return cells.reduce((best, each) => (Math.abs(middle(each) - middle(cell)) < Math.abs(middle(best) - middle(cell)) ? each : best));
  }

  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.(".heatmap td[data-checkpoint]");
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) close();
    if (!cell || !moves[event.key]) return;
    event.preventDefault();
    const next = neighbour(cell, moves[event.key])?.querySelector("a");
    if (!next) return;
    for (const link of links()) link.tabIndex = link === next ? 0 : -1;
    next.focus();
    if (!drawer().hidden) open(next.parentElement);
  });

  // ── What can be compared ─────────────────────────────────────────────────
  function limit() {
    const form = document.querySelector("form[data-most]");
    const button = form?.querySelector("button");
    if (!button) return;
    const count = document.querySelectorAll(`input[form="${form.id}"]:checked`).length;
    if (count <= Number(form.dataset.most)) return;
    button.disabled = true;
    button.querySelector("span").textContent = form.dataset.tooMany;
  }
  document.addEventListener("change", limit);

  // ── The form ─────────────────────────────────────────────────────────────
  const form = () => byId("sweep-form");
  let isTouched = form()?.hasAttribute("data-typed");
  document.addEventListener("input", (event) => { if (event.target.closest("#sweep-form")) isTouched = true; });
  document.addEventListener("click", (event) => {
    const asking = event.target.closest("[data-asks]");
    if (asking && isTouched && !confirm(form().dataset.replaces)) event.preventDefault();
  });

  function markFields() {
    for (const control of document.querySelectorAll("#sweep-form [aria-describedby]")) {
      const below = byId(control.getAttribute("aria-describedby"));
      if (below?.classList.contains("error")) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  }

  document.addEventListener("htmx:after:swap", () => { mark(); limit(); markFields(); });
  mark();
  if (form()?.elements.namedItem("is_sent")) form().querySelector("[aria-invalid='true']")?.focus();
})();
