// Behaviour that every page shares: theme, menus, dialogs, toasts, tables whose boxes collect a selection.
// All of it listens on the document, so that what htmx swaps in works at once.
(() => {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  const actions = {
    theme() {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* storage is off in this window */ }
    },
    "close-toast": (button) => button.closest(".toast").remove(),
    scroll(button) {
      const strip = button.parentElement.querySelector(".strip");
      const way = button.dataset.scrolls === "end" ? 1 : -1;
      strip.scrollBy({ left: way * 0.8 * strip.clientWidth, behavior: isCalm() ? "auto" : "smooth" });
    },
    "close-dialog": (button) => button.closest("dialog").close(),
    fill(button) { // the form that it stands in, with what it offers
      const { elements } = button.form;
      for (const name of Object.keys(button.dataset)) if (name in elements) elements[name].value = button.dataset[name];
      elements.namedItem("question")?.focus();
    },
    copy: async (button) => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.dataset.done = "";
      setTimeout(() => { delete button.dataset.done; }, 1500);
    },
  };

  document.addEventListener("click", (event) => {
    const acting = event.target.closest("[data-action]");
    if (acting && actions[acting.dataset.action]) actions[acting.dataset.action](acting, event);
    const opening = event.target.closest("[data-opens]");
    if (opening) document.getElementById(opening.dataset.opens)?.showModal();
    if (event.target.matches("dialog")) event.target.close(); // a click beside it
  });

  // A menu sits under the button that opened it, inside the window, and moves with it when the page around it changes.
  let opener = null;
  document.addEventListener("click", (event) => { opener = event.target.closest("[popovertarget]") ?? opener; }, true);
  document.addEventListener("toggle", (event) => {
    if (event.newState === "open" && event.target.matches?.(".menu")) placeMenu(event.target);
  }, true);
  document.addEventListener("htmx:after:swap", () => document.querySelectorAll(".menu:popover-open").forEach(placeMenu));

  function openerOf(menu) {
    const isOpener = opener?.isConnected && opener.getAttribute("popovertarget") === menu.id;
    return isOpener ? opener : document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
  }

  function placeMenu(menu) {
    const at = openerOf(menu)?.getBoundingClientRect();
    if (!at) return;
    const left = Math.min(at.left, innerWidth - menu.offsetWidth - 8);
    const isBelow = at.bottom + 4 + menu.offsetHeight < innerHeight;
    menu.style.left = `${Math.max(8, left)}px`;
    menu.style.top = isBelow ? `${at.bottom + 4}px` : `${Math.max(8, at.top - menu.offsetHeight - 4)}px`;
  }

  // What was chosen in a menu closes it.
  document.addEventListener("submit", (event) => event.target.closest(".menu:popover-open")?.hidePopover());

  // A toast of good news goes by itself; one of bad news waits to be read.
  new MutationObserver((records) => {
    for (const { addedNodes } of records) for (const node of addedNodes) {
      if (node.nodeType === Node.ELEMENT_NODE && node.matches(".toast[data-fades]")) setTimeout(() => node.remove(), 6000);
    }
  }).observe(document.getElementById("toasts"), { childList: true });

  // A request that never reached the server says so.
  document.addEventListener("htmx:error", (event) => {
    if (event.detail?.error?.name === "AbortError") return;
    root.dataset.offline = "";
  });
  document.addEventListener("htmx:after:swap", () => { delete root.dataset.offline; });

  // A button that was pressed says that it works, until its answer is there.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.matches(".button")) return;
    if (button.matches("[data-closes]")) button.closest("dialog").close();
    else if (!event.target.matches("[method='get']")) button.setAttribute("aria-busy", "true");
  });
  const rest = () => document.querySelectorAll(".button[aria-busy='true']").forEach((button) => button.removeAttribute("aria-busy"));
  addEventListener("pageshow", rest);
  document.addEventListener("htmx:after:request", rest);

  // A button that counts the boxes of its form: "Compare 2".
  function count(button) {
    const chosen = document.querySelectorAll(`input[form="${button.dataset.counts}"]:checked`).length;
    button.disabled = chosen === 0;
    button.querySelector("span").textContent = chosen ? `${button.dataset.word} ${chosen}` : button.dataset.word;
  }
  const countAll = () => document.querySelectorAll("[data-counts]").forEach(count);
  document.addEventListener("change", countAll);
  document.addEventListener("htmx:after:swap", countAll);
  addEventListener("pageshow", countAll);

  // A log follows its end unless somebody scrolled up to read.
  const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  const logs = () => [...document.querySelectorAll(".log[data-follows]")];
  const toEnd = (log) => { log.scrollTop = log.scrollHeight; };
  let following = new Set();
  document.addEventListener("htmx:before:swap", () => { following = new Set(logs().filter(isAtEnd)); });
  document.addEventListener("htmx:after:swap", () => logs().forEach((log) => { if (following.has(log)) toEnd(log); }));
  logs().forEach(toEnd);

  // A strip shows where its run is, or what to keep of it; and how much of it is out of sight.
  const strips = () => document.querySelectorAll(".strip");
  for (const strip of strips()) {
    const now = strip.querySelector("[data-current], [data-keep]");
    if (now) strip.scrollLeft = now.offsetLeft - strip.clientWidth + 1.5 * now.offsetWidth;
    tellWhatIsHidden(strip);
  }

  function tellWhatIsHidden(strip) {
    const blocks = [...strip.children], left = strip.scrollLeft, right = left + strip.clientWidth;
    const hidden = {
      start: blocks.filter((block) => block.offsetLeft < left - 1).length,
      end: blocks.filter((block) => block.offsetLeft + block.offsetWidth > right + 1).length,
    };
    for (const button of strip.parentElement.querySelectorAll("[data-scrolls]")) {
      const count = hidden[button.dataset.scrolls];
      button.hidden = count === 0;
      button.title = button.dataset.words.replace("{n}", count);
      button.querySelector("span").textContent = count;
    }
  }
  const tellOfAll = () => strips().forEach(tellWhatIsHidden);
  document.addEventListener("scroll", ({ target }) => { if (target.matches?.(".strip")) tellWhatIsHidden(target); }, true);
  document.addEventListener("htmx:after:swap", tellOfAll);
  document.addEventListener("toggle", tellOfAll, true);
  addEventListener("resize", tellOfAll);
})();
