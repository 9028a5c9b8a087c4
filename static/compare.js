// The comparison: keys and the drawer. What is chosen is in the address; this only moves and opens.
(() => {
  const PAUSE_MS = 90; // a held arrow key passes many answers: only the one it rests on is fetched
  const byId = (id) => document.getElementById(id);
  const drawer = () => byId("cell-detail");
  const matrix = () => document.querySelector(".matrix");
  const isTransposed = () => matrix().hasAttribute("data-transposed");
  const rowsOf = () => [...matrix().querySelectorAll("tbody tr:is([data-probe], [data-checkpoint])")];
  const cellsOf = (row) => [...row.querySelectorAll("td:not(.gap)")];
  const heads = () => [...matrix().querySelectorAll("thead th:is([data-probe], [data-checkpoint])")];
  const moves = {
    ArrowLeft: [0, -1], h: [0, -1], ArrowRight: [0, 1], l: [0, 1], ArrowUp: [-1, 0], k: [-1, 0], ArrowDown: [1, 0], j: [1, 0],
    Home: [0, -Infinity], End: [0, Infinity],
  };
  let chosen = null; // "checkpoint.probe" of the selected cell, which outlives swaps

  // A cell is named after what stands over it and before it, whichever of the two is the checkpoint.
  const headOf = (cell) => heads()[cellsOf(cell.parentElement).indexOf(cell)];
  const checkpointOf = (cell) => (isTransposed() ? cell.parentElement : headOf(cell));
  const probeOf = (cell) => (isTransposed() ? headOf(cell) : cell.parentElement).dataset.probe;
  const nameOf = (cell) => `${checkpointOf(cell).dataset.checkpoint}.${probeOf(cell)}`;

  function cellNamed(name) {
    if (!matrix()) return null;
    const [checkpoint, probe] = (name ?? "").split(".");
    const across = isTransposed() ? ["probe", probe] : ["checkpoint", checkpoint];
    const down = isTransposed() ? ["checkpoint", checkpoint] : ["probe", probe];
    const place = heads().findIndex((head) => head.dataset[across[0]] === across[1]);
    const row = matrix().querySelector(`tbody tr[data-${down[0]}="${CSS.escape(down[1] ?? "")}"]`);
    return row && place >= 0 ? cellsOf(row)[place] : null;
  }

  function select(cell) {
    matrix().querySelectorAll("td[aria-selected], td[tabindex='0']").forEach((old) => { old.removeAttribute("aria-selected"); old.tabIndex = -1; });
    cell.setAttribute("aria-selected", "true");
    cell.tabIndex = 0;
    chosen = nameOf(cell);
  }

  // ── The drawer ──
  let fetching = null;
  let waiting = 0;

  async function open(cell) {
    const name = nameOf(cell);
    if (!drawer().hidden && drawer().dataset.cell === name) return;
    fetching?.abort();
    fetching = new AbortController();
    try {
      const address = byId("compare").dataset.cellUrl;
      const reply = await fetch(`${address}&cell=${name}`, { headers: { "HX-Request": "true", "HX-Request-Type": "partial" }, signal: fetching.signal });
      if (!reply.ok) return;
      const holder = document.createElement("template");
      holder.innerHTML = await reply.text();
      drawer().replaceWith(holder.content.querySelector("#cell-detail"));
      remember(name);
      keepInView(cell);
    } catch (error) {
      if (error.name !== "AbortError") document.documentElement.dataset.offline = "";
    }
  }

  function close() {
    fetching?.abort();
    if (!drawer() || drawer().hidden) return;
    drawer().hidden = true;
    remember(null);
    matrix()?.querySelector("td[aria-selected]")?.focus({ preventScroll: true });
  }

  function remember(name) {
    const address = byId("compare").dataset.url;
    history.replaceState(history.state, "", name ? `${address}&cell=${name}` : address);
  }

  // The drawer takes room: the cell it belongs to stays visible beside it, not under the pinned columns.
  // Where it is a sheet over the lower half of the window, the matrix moves up to what is left.
  function keepInView(cell) {
    if (!drawer().hidden && getComputedStyle(drawer()).position === "fixed") byId("matrix").scrollIntoView({ block: "start" });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // ── Keys and clicks ──
  document.addEventListener("click", (event) => {
    const cell = event.target.closest(".matrix td[tabindex]");
    if (cell && !String(getSelection())) { select(cell); open(cell); }
    const reading = event.target.closest("[data-cell-link]");
    if (reading && !event.ctrlKey && !event.metaKey && !event.shiftKey) readOn(reading, event);
    const proof = event.target.closest("[data-opens-cell]");
    const proven = proof && cellNamed(proof.dataset.opensCell);
    if (proven && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); select(proven); open(proven); }
    if (event.target.closest("[data-closes='cell-detail']")) close();
    const copying = event.target.closest("[data-copies]");
    if (copying) copyFrom(copying);
    const leaving = event.target.closest("#menu-of-column a[hx-get]");
    if (leaving) byId("menu-of-column").hidePopover();
  });

  function move(cell, [down, right]) {
    const rows = rowsOf();
    const place = rows.indexOf(cell.parentElement);
    const cells = cellsOf(rows[place + down] ?? cell.parentElement);
    const column = cellsOf(cell.parentElement).indexOf(cell) + right;
    goTo(cells[Math.max(0, Math.min(cells.length - 1, column))]);
  }

  function goTo(next) {
    select(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
    clearTimeout(waiting);
    if (!drawer().hidden) waiting = setTimeout(() => open(next), PAUSE_MS);
  }

  // A link of the open answer leads to the same probe at another checkpoint: the drawer follows, the page stays.
  function readOn(link, event) {
    const cell = cellNamed(link.dataset.cellLink);
    if (!cell) return;
    event.preventDefault();
    select(cell);
    cell.focus({ preventScroll: true });
    open(cell);
  }

  // The answers of one run to the probe of a cell, in the order of the run; its base model's too, if that is its own.
  function alongRun(cell) {
    const probe = probeOf(cell);
    const run = checkpointOf(cell).dataset.run;
    const all = isTransposed() ? rowsOf().map((row) => cellsOf(row)[heads().findIndex((head) => head.dataset.probe === probe)]) : cellsOf(cell.parentElement);
    return all.filter((each) => checkpointOf(each).dataset.run === run);
  }

  function toChange(cell, way) {
    const cells = alongRun(cell);
    const text = (each) => each.querySelector(".answer-text")?.textContent ?? "";
    const changed = cells.filter((each, place) => place > 0 && text(each) !== text(cells[place - 1]));
    const at = cells.indexOf(cell);
    const next = way > 0 ? changed.find((each) => cells.indexOf(each) > at) : changed.findLast((each) => cells.indexOf(each) < at);
    if (next) goTo(next);
  }

  // Each run has its own first leak: pressed again, the key goes to the next one's.
  function toLeak() {
    const leaks = [...matrix().querySelectorAll("td[data-leak-first]")];
    const ids = leaks.map((cell) => checkpointOf(cell).dataset.checkpoint);
    const firsts = leaks.filter((_, place) => ids.indexOf(ids[place]) === place);
    const here = cellNamed(chosen);
    const at = here ? firsts.findIndex((cell) => checkpointOf(cell) === checkpointOf(here)) : -1;
    const next = firsts[(at + 1) % firsts.length];
    if (next) goTo(next);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, [popover]")) return;
    if (!matrix()) return;
    if (event.key === "?") { byId("keys").showModal(); return; }
    if (event.key === "Escape") { close(); return; }
    if (event.key === "d") { toggleMarks(); return; }
    if (event.key === "g") { toLeak(); return; }
    if (event.key === "c" || event.key === "t") { isTurning = true; document.querySelector(`#compare-toolbar [data-key="${event.key}"]`)?.click(); return; }
    const isAnywhere = event.key === "[" || event.key === "]" || (moves[event.key] && event.target === document.body);
    const cell = event.target.closest(".matrix td[tabindex]") ?? (isAnywhere ? firstCell() : null);
    if (!cell) return;
    if (event.key === "[" || event.key === "]") {
      toChange(cell, event.key === "]" ? 1 : -1);
    } else if (moves[event.key]) {
      event.preventDefault();
      if (cell === event.target.closest(".matrix td")) move(cell, moves[event.key]);
      else { select(cell); cell.focus(); }
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      select(cell);
      open(cell);
    } else if (event.key === "p") {
      pin(checkpointOf(cell));
    }
  });

  const firstCell = () => cellNamed(chosen) ?? matrix().querySelector("td[tabindex]");

  function toggleMarks() {
    const table = matrix();
    if (table.dataset.diff === "off") delete table.dataset.diff;
    else table.dataset.diff = "off";
  }

  function pin(checkpoint) {
    const address = new URL(byId("compare").dataset.url, location.href);
    const isPinned = checkpoint.hasAttribute("data-pinned") || checkpoint.querySelector("[data-pinned]") !== null;
    address.searchParams.delete("pin");
    address.searchParams.delete("diff");
    const query = isPinned ? "" : `&diff=pinned&pin=${checkpoint.dataset.checkpoint}`;
    const url = decodeURIComponent(address.pathname + address.search) + query;
    htmx.ajax("GET", url, { target: "#compare", swap: "outerMorph", push: url });
  }

  // ── Copies ──
  async function copyFrom(button) {
    const text = fetch(button.dataset.copies).then((reply) => reply.text()).then((text) => text.replace(/^\ufeff/, ""));
    try {
      // A promise inside the item keeps the click's permission while the text is on its way.
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": text.then((words) => new Blob([words], { type: "text/plain" })) })]);
    } catch {
      copyByHand(await text); // without TLS there is no clipboard to write to
    }
    const word = button.querySelector("span");
    const before = word.textContent;
    word.textContent = button.dataset.copied;
    setTimeout(() => { word.textContent = before; }, 1500);
  }

  function copyByHand(text) {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }

  // ── After every swap, and at first ──
  function settle() {
    if (!matrix()) return;
    const cell = firstCell();
    if (!cell) return;
    if (cellNamed(chosen)) select(cell);
    else cell.tabIndex = 0;
  }

  let isTurning = false; // by a key: the cell that was chosen is looked for in the new order, unlike at news of a run

  document.addEventListener("htmx:after:swap", () => {
    settle();
    const cell = cellNamed(chosen);
    if (isTurning && cell) { cell.focus({ preventScroll: true }); cell.scrollIntoView({ block: "nearest", inline: "nearest" }); }
    isTurning = false;
    if (!drawer() || drawer().hidden) return;
    if (cell) { drawer().dataset.cell = ""; open(cell); } else close();
  });

  document.addEventListener("DOMContentLoaded", start);
  if (document.readyState !== "loading") start();

  function start() {
    if (!matrix()) return;
    chosen = drawer()?.dataset.cell ?? null;
    settle();
    const cell = cellNamed(chosen);
    if (cell) keepInView(cell);
    const kept = matrix().querySelector("thead [data-keep]");
    if (cell || kept) startAtWholeColumn(cell ?? kept);
  }

  // A shared address opens with a whole column beside the pinned ones, not with half of one; without an open answer
  // it opens where the checkpoint to keep is in sight.
  function startAtWholeColumn(cell) {
    if (isTransposed()) return;
    const region = byId("matrix");
    const pinned = [region.querySelector(".corner"), ...region.querySelectorAll("thead [data-base]")]
      .filter((head) => getComputedStyle(head).left !== "auto").reduce((sum, head) => sum + head.offsetWidth, 0);
    const starts = heads().filter((head) => !head.hasAttribute("data-base")).map((head) => head.offsetLeft - pinned);
    const least = cell.offsetLeft + cell.offsetWidth - region.clientWidth;
    if (least > 0) region.scrollLeft = starts.find((left) => left >= least) ?? least;
  }
})();
