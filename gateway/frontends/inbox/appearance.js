// @ts-check
/** Light or dark: as the system says until the person says otherwise. */

const KEY = "frontend-router.theme";

/**
 * @param {HTMLButtonElement} button
 */
export function appearance(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => document.documentElement.dataset.theme;
  const isDark = () => (chosen() ? chosen() === "dark" : system.matches);

  /** @param {string | null} theme */
  function apply(theme) {
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    button.title = isDark() ? "Switch to light" : "Switch to dark";
  }

  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    apply(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
  });

  try {
    apply(localStorage.getItem(KEY));
  } catch {
    apply(null);
  }
}
