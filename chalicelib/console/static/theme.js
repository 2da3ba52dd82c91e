// Runs before the first paint, so that nobody who chose the dark theme sees a white flash.
(() => {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("foyer.console")) || {};
  } catch {
    // Without storage the choices last as long as the page.
  }
  const root = document.documentElement;
  if (kept.theme === "light" || kept.theme === "dark") root.dataset.theme = kept.theme;
  const asked = kept.language || (navigator.language || "en").slice(0, 2);
  root.lang = asked === "ja" ? "ja" : "en";
})();
