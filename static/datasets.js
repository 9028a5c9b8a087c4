// Sending a file: choosing by hand or by dropping, how far it is, and what is wrong with it, without losing
// what was chosen or typed. The form is an ordinary one; without this script it is sent as it stands.
(() => {
  const parts = (form, name) => form.querySelector(`[data-${name}]`);
  const UNITS = ["B", "kB", "MB", "GB"];

  function size(bytes) {
    let unit = 0;
    for (; bytes >= 999.5 && unit < UNITS.length - 1; unit += 1) bytes /= 1000;
    return `${unit && bytes < 99.5 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
  }

  // ── Choosing ─────────────────────────────────────────────────────────────
  function showChosen(form) {
    const [file] = form.elements.file.files;
    const name = parts(form, "drop-name");
    name.textContent = file ? file.name : name.dataset.empty;
    const room = parts(form, "drop-size");
    room.dataset.limit ??= room.textContent;
    room.textContent = file ? size(file.size) : room.dataset.limit;
  }

  function arm(form) {
    const drop = parts(form, "drop");
    if (!drop || drop.dataset.live !== undefined) return;
    drop.dataset.live = "";
    showChosen(form);
  }
  const armAll = () => document.querySelectorAll("[data-upload]").forEach(arm);
  document.addEventListener("htmx:after:swap", armAll);
  addEventListener("pageshow", armAll);
  armAll();

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("[data-upload]");
    if (form && event.target.type === "file") { event.stopPropagation(); showChosen(form); }
  });
  const dropOf = (event) => event.target.closest?.("[data-drop]");
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      const drop = dropOf(event);
      if (!drop || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      drop.dataset.over = "";
    });
  }
  document.addEventListener("dragleave", (event) => { delete dropOf(event)?.dataset.over; });
  document.addEventListener("drop", (event) => {
    const drop = dropOf(event);
    if (!drop) return;
    event.preventDefault();
    delete drop.dataset.over;
    const form = drop.closest("form");
    form.elements.file.files = event.dataTransfer.files;
    showChosen(form);
    form.elements.file.focus();
  });

  // ── Sending ──────────────────────────────────────────────────────────────
  let sending = null;

  function isBusy(form, busy) {
    parts(form, "progress").hidden = !busy;
    parts(form, "stop").hidden = !busy;
    const button = form.querySelector("[type='submit']");
    button.disabled = busy;
    if (busy) {
      parts(form, "lost").hidden = true;
      button.setAttribute("aria-busy", "true");
    } else {
      button.removeAttribute("aria-busy");
    }
  }

  function showProgress(form, share) {
    const bar = form.querySelector("progress"), words = parts(form, "progress-words");
    if (share < 1) bar.value = 100 * share;
    else bar.removeAttribute("value");
    words.textContent = share < 1 ? `${words.dataset.sending} ${Math.floor(100 * share)}%` : words.dataset.reading;
  }

  // The reply is the page a browser without a script would see: of one with mistakes, the sentences are taken.
  function showMistakes(form, reply) {
    const page = new DOMParser().parseFromString(reply.responseText, "text/html");
    const sentences = [...page.querySelectorAll("#datasets-upload [id$='-help']")];
    if (!sentences.length) return false;
    for (const sentence of sentences) {
      const place = document.getElementById(sentence.id);
      place.replaceWith(document.importNode(sentence, true));
      const field = form.querySelector(`[aria-describedby="${sentence.id}"]`);
      if (sentence.classList.contains("error")) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
    form.querySelector("[aria-invalid='true']")?.focus();
    return true;
  }

  function finish(form, reply) {
    isBusy(form, false);
    sending = null;
    const id = new URL(reply.responseURL || location.href).pathname.match(/^\/datasets\/(\d+)$/)?.[1];
    if (reply.status === 200 && id) {
      if (form.dataset.upload) {
        form.dispatchEvent(new CustomEvent("temper:uploaded", { bubbles: true, detail: { id } }));
        showChosen(form);
      }
      else location.assign(reply.responseURL);
    } else if (!showMistakes(form, reply)) {
      parts(form, "lost").hidden = false;
    }
  }

  function send(form) {
    sending = new XMLHttpRequest();
    const reply = sending;
    reply.open("POST", form.action);
    reply.upload.addEventListener("progress", (event) => { if (event.lengthComputable) showProgress(form, event.loaded / event.total); });
    reply.upload.addEventListener("load", () => showProgress(form, 1));
    reply.addEventListener("load", () => finish(form, reply));
    reply.addEventListener("error", () => { isBusy(form, false); parts(form, "lost").hidden = false; });
    reply.addEventListener("abort", () => isBusy(form, false));
    isBusy(form, true);
    showProgress(form, 0);
    reply.send(new FormData(form));
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-upload]")) return;
    event.preventDefault();
    if (!sending || sending.readyState === XMLHttpRequest.DONE) send(form);
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-stop]")) sending?.abort(); });
})();
