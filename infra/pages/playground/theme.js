// The theme that was chosen in the console, before the first paint; else the system's.
(() => {
  try {
    const { theme } = JSON.parse(localStorage.getItem('foyer.console')) ?? {};
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // No storage, no choice.
  }
})();
