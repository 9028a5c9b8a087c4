// The recipe form: rows that come and go, built-in pairs taken over as one's own, and what a reader of
// the screen must know: which field is wrong. Numbers and sentences are the server's.
(() => {
  const form = () => document.getElementById("recipe-form");
  const changed = (element) => element.dispatchEvent(new Event("change", { bubbles: true }));
  let isTouched = form()?.hasAttribute("data-typed");

  // ── Rows ─────────────────────────────────────────────────────────────────
  // Names and ids carry the row's number: rows are numbered anew whenever one comes or goes.
  const rowsOf = (list) => [...list.querySelectorAll(":scope > [data-row-of]")];

  function renumberAttribute(element, attribute, path, mark, index) {
    const value = element.getAttribute(attribute);
    if (!value?.startsWith(path + mark)) return;
    const rest = value.slice(path.length + 1).split(mark).slice(1);
    element.setAttribute(attribute, [path, index, ...rest].join(mark));
  }

  function renumber(list) {
    const path = list.dataset.rows;
    const dashed = path.replaceAll(".", "-");
    rowsOf(list).forEach((row, index) => {
      for (const element of row.querySelectorAll("[name], [id]")) {
        renumberAttribute(element, element.name === "shown" ? "value" : "name", path, ".", index);
        renumberAttribute(element, "id", dashed, "-", index);
        renumberAttribute(element, "aria-describedby", dashed, "-", index);
      }
      for (const labelled of row.querySelectorAll("[data-label]")) {
        labelled.setAttribute("aria-label", `${labelled.dataset.label} ${index + 1}`);
      }
    });
  }
  for (const list of document.querySelectorAll("[data-rows]")) renumber(list);

  function addRow(list, values = {}) {
    const template = list.querySelector(":scope > template");
    const row = template.content.firstElementChild.cloneNode(true);
    template.before(row);
    renumber(list);
    for (const [name, value] of Object.entries(values)) row.querySelector(`[name$=".${name}"]`).value = value;
    return row;
  }

  function removeRow(row) {
    const list = row.parentElement;
    const next = row.nextElementSibling?.matches("[data-row-of]") ? row.nextElementSibling : row.previousElementSibling;
    row.remove();
    renumber(list);
    (next?.querySelector("[data-row='remove']") ?? list.querySelector("[data-row='add']")).focus();
    changed(form());
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-row]");
    if (button?.dataset.row === "add") {
      addRow(button.closest("[data-rows]")).querySelector("textarea, input").focus();
      changed(form());
    } else if (button?.dataset.row === "remove") {
      removeRow(button.closest("[data-row-of]"));
    }
    const taking = event.target.closest("[data-take-over]");
    if (taking) takeOver(taking.dataset.takeOver, taking.closest("dialog"));
  });

  // ── Built-in pairs as one's own ──────────────────────────────────────────
  function takeOver(name, dialog) {
    const list = document.querySelector("[data-rows='mix.general']");
    for (const pair of dialog.querySelectorAll(".set-pairs > div")) {
      addRow(list, { question: pair.querySelector("dt").textContent, answer: pair.querySelector("dd").textContent });
    }
    document.getElementById(`set-${name}`).checked = false;
    dialog.close();
    list.scrollIntoView({ block: "nearest" });
    changed(form());
  }

  // Enter in a search that stands among the fields searches; it sends no form.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[data-asks-itself]")) event.preventDefault();
  });

  // ── A file uploaded without leaving ──────────────────────────────────────
  document.addEventListener("temper:uploaded", (event) => {
    const adding = document.getElementById("run-form-uploaded");
    adding.value = `add:${event.detail.id}`;
    event.target.closest("dialog").close();
    event.target.reset();
    adding.click();
  });

  // ── What is wrong ────────────────────────────────────────────────────────
  // The server swaps help and error under a field; the field itself is never swapped while it is typed into.
  function markFields() {
    for (const control of document.querySelectorAll("form [aria-describedby]")) {
      const below = document.getElementById(control.getAttribute("aria-describedby"));
      if (below?.classList.contains("error")) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  }
  document.addEventListener("htmx:after:swap", () => {
    document.querySelectorAll("[data-rows]").forEach(renumber);
    markFields();
  });

  // ── Leaving what was typed ───────────────────────────────────────────────
  document.addEventListener("input", (event) => { if (event.target.closest("#recipe-form")) isTouched = true; });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-asks]");
    if (link && isTouched && !confirm(form().dataset.replaces)) event.preventDefault();
  });

  if (form()?.elements.namedItem("is_sent")) form().querySelector("[aria-invalid='true']")?.focus();
})();
