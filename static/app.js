// Behaviour that every page shares: theme, menus, dialogs, toasts, tables whose boxes collect a selection.
// All of it listens on the document, so that what htmx swaps in works at once.
(() => {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  const actions = {
    theme() {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* storage is off in this window */ }
    },
    "close-toast": (button) => button.closest(".toast").remove(),
    "close-dialog": (button) => button.closest("dialog").close(),
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

  // A menu sits under the button that opened it, inside the window.
  let opener = null;
  document.addEventListener("click", (event) => { opener = event.target.closest("[popovertarget]") ?? opener; }, true);
  document.addEventListener("toggle", (event) => {
    if (event.newState === "open" && event.target.matches?.(".menu") && opener) placeMenu(event.target, opener);
  }, true);

  function placeMenu(menu, button) {
    const at = button.getBoundingClientRect();
    const left = Math.min(at.left, innerWidth - menu.offsetWidth - 8);
    const isBelow = at.bottom + 4 + menu.offsetHeight < innerHeight;
    menu.style.left = `${Math.max(8, left)}px`;
    menu.style.top = isBelow ? `${at.bottom + 4}px` : `${Math.max(8, at.top - menu.offsetHeight - 4)}px`;
  }

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

  // A dialog is open while its page lives on underneath: a button pressed says that it works.
  document.addEventListener("submit", (event) => {
    event.submitter?.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => document.querySelectorAll("[aria-busy='true'].button").forEach((button) => button.removeAttribute("aria-busy")));

  // A progress strip shows where it is.
  const now = document.querySelector(".strip [data-current], .strip [data-keep]");
  if (now) now.parentElement.scrollLeft = now.offsetLeft - now.parentElement.offsetLeft - now.parentElement.clientWidth + 1.5 * now.offsetWidth;
})();
