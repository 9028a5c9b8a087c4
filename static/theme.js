// Set the theme before the first paint; a page that flashes white at night is a broken page.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* storage is off in this window */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
