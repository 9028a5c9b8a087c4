// The comparison: keys and the drawer. What is chosen is in the address; this only moves and opens.
(() => {
  const PAUSE_MS = 90; // a held arrow key passes many answers: only the one it rests on is fetched
  const byId = (id) => document.getElementById(id);
  const drawer = () => byId("cell-detail");
  const matrix = () => document.querySelector(".matrix");
  const rowsOf = () => [...matrix().querySelectorAll("tbody tr[data-probe]")];
  const cellsOf = (row) => [...row.querySelectorAll("td")];
  const heads = () => [...matrix().querySelectorAll("thead th[data-checkpoint]")];
  const moves = {
    ArrowLeft: [0, -1], h: [0, -1], ArrowRight: [0, 1], l: [0, 1], ArrowUp: [-1, 0], k: [-1, 0], ArrowDown: [1, 0], j: [1, 0],
    Home: [0, -Infinity], End: [0, Infinity],
  };
  let chosen = null; // "checkpoint.probe" of the selected cell, which outlives swaps

  const nameOf = (cell) => `${heads()[cellsOf(cell.parentElement).indexOf(cell)].dataset.checkpoint}.${cell.parentElement.dataset.probe}`;

  function cellNamed(name) {
    const [checkpoint, probe] = (name ?? "").split(".");
    const column = heads().findIndex((head) => head.dataset.checkpoint === checkpoint);
    const row = matrix()?.querySelector(`tr[data-probe="${CSS.escape(probe ?? "")}"]`);
    return row && column >= 0 ? cellsOf(row)[column] : null;
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
    const cell = event.target.closest(".matrix td");
    if (cell && cell.parentElement.dataset.probe && !String(getSelection())) { select(cell); open(cell); }
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
    const next = cells[Math.max(0, Math.min(cells.length - 1, column))];
    select(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
    clearTimeout(waiting);
    if (!drawer().hidden) waiting = setTimeout(() => open(next), PAUSE_MS);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, [popover]")) return;
    if (!matrix()) return;
    if (event.key === "?") { byId("keys").showModal(); return; }
    if (event.key === "Escape") { close(); return; }
    if (event.key === "d") { toggleMarks(); return; }
    const cell = event.target.closest(".matrix td") ?? (moves[event.key] && event.target === document.body ? firstCell() : null);
    if (!cell) return;
    if (moves[event.key]) {
      event.preventDefault();
      if (cell === event.target.closest(".matrix td")) move(cell, moves[event.key]);
      else { select(cell); cell.focus(); }
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      select(cell);
      open(cell);
    } else if (event.key === "p") {
      pin(heads()[cellsOf(cell.parentElement).indexOf(cell)]);
    }
  });

  const firstCell = () => cellNamed(chosen) ?? matrix().querySelector("tr[data-probe] td");

  function toggleMarks() {
    const table = matrix();
    if (table.dataset.diff === "off") delete table.dataset.diff;
    else table.dataset.diff = "off";
  }

  function pin(head) {
    const address = new URL(byId("compare").dataset.url, location.href);
    const isPinned = head.hasAttribute("data-pinned");
    address.searchParams.delete("pin");
    address.searchParams.delete("diff");
    const query = isPinned ? "" : `&diff=pinned&pin=${head.dataset.checkpoint}`;
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
    const cell = cellNamed(chosen) ?? matrix().querySelector("tr[data-probe] td");
    if (!cell) return;
    if (cellNamed(chosen)) select(cell);
    else cell.tabIndex = 0;
  }

  document.addEventListener("htmx:after:swap", () => {
    settle();
    const cell = cellNamed(chosen);
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
    if (!cell) return;
    keepInView(cell);
    startAtWholeColumn(cell);
  }

  // A shared address opens with a whole column beside the pinned ones, not with half of one.
  function startAtWholeColumn(cell) {
    const region = byId("matrix");
    const pinned = [region.querySelector(".corner"), ...region.querySelectorAll("thead [data-base]")]
      .filter((head) => getComputedStyle(head).left !== "auto").reduce((sum, head) => sum + head.offsetWidth, 0);
    const starts = heads().filter((head) => !head.hasAttribute("data-base")).map((head) => head.offsetLeft - pinned);
    const least = cell.offsetLeft + cell.offsetWidth - region.clientWidth;
    if (least > 0) region.scrollLeft = starts.find((left) => left >= least) ?? least;
  }
})();
