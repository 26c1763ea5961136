// @ts-check
/** Who the person at this page says they are, kept in this browser. */

const KEY = "frontend-router.identity";
const MAX_GROUPS = 32;

/** @typedef {{ user?: string, name?: string, groups?: string[] }} Identity */

/** @returns {Identity} */
export function knownIdentity() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return made(String(kept.user ?? ""), Array.isArray(kept.groups) ? kept.groups.map(String) : []);
  } catch {
    return {};
  }
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {(identity: Identity) => void} onChange
 */
export function identityDialog(dialog, onChange) {
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  const [user, groups] = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("input")]);
  form.querySelector("#identity-cancel")?.addEventListener("click", () => dialog.close("cancel"));
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "save") return;
    const identity = made(
      user.value.trim(),
      groups.value
        .split(",")
        .map((group) => group.trim())
        .filter(Boolean),
    );
    try {
      localStorage.setItem(KEY, JSON.stringify(identity));
    } catch {
      // Storage is off: the name lasts as long as the page.
    }
    onChange(identity);
  });
  return () => {
    const known = knownIdentity();
    user.value = known.user ?? "";
    groups.value = (known.groups ?? []).join(", ");
    dialog.returnValue = "";
    dialog.showModal();
  };
}

/**
 * @param {string} user
 * @param {string[]} groups
 * @returns {Identity}
 */
function made(user, groups) {
  return { ...(user ? { user, name: user } : {}), ...(groups.length ? { groups: groups.slice(0, MAX_GROUPS) } : {}) };
}
