// Runs before anything is painted: the theme that was chosen, or the system's.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    /** @type {string | null} */
    let chosen = null;
    try {
      chosen = localStorage.getItem("inferium-theme");
    } catch {
      // No storage: the system decides.
    }
    if (chosen === "light" || chosen === "dark") root.dataset["theme"] = chosen;
    else delete root.dataset["theme"];
    root.dataset["shown"] = chosen ?? (dark.matches ? "dark" : "light");
  };
  show();
  dark.addEventListener("change", show);
  window.addEventListener("inferium-theme", show);
})();
