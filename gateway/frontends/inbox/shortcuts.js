// @ts-check
/**
 * The keys of the inbox: what each does, and the help that lists them.
 *
 * Single keys count only where no text is typed; nothing overrides a browser's
 * or a screen reader's own combination.
 */

import { element, isApple, keyCap } from "./elements.js";

// Keys are not for what lies behind these.
const COVERING = "dialog[open], .sign-in:not([hidden])";

/**
 * @typedef {object} Shortcut
 * @property {string[]} keys     as `KeyboardEvent.key`
 * @property {string[]} shown    as printed in the help
 * @property {string} does
 * @property {(event: KeyboardEvent) => void | boolean} action  false: the key is not for us after all
 * @property {boolean} [whileTyping]
 * @property {boolean} [mod]
 */

/**
 * @param {Shortcut[]} shortcuts
 * @param {HTMLElement} help  a <dl> to list them in
 * @param {HTMLInputElement} singleKeys  switches off what a voice or a cat may press by mistake
 */
export function listenForKeys(shortcuts, help, singleKeys) {
  rememberSwitch(singleKeys);
  help.replaceChildren(
    ...shortcuts.flatMap(({ shown, does }) => [element("dt", {}, ...shown.map(keyCap)), element("dd", {}, does)]),
  );
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector(COVERING)) return;
    const mod = isApple() ? event.metaKey : event.ctrlKey;
    if (event.altKey || (event.ctrlKey && event.metaKey) || (!mod && (event.ctrlKey || event.metaKey))) return;
    const typing = isTyping(event.target);
    for (const shortcut of shortcuts) {
      if (!shortcut.mod && !singleKeys.checked && event.key !== "Escape") continue;
      if (Boolean(shortcut.mod) !== mod || (typing && !shortcut.whileTyping) || !shortcut.keys.includes(event.key))
        continue;
      if (shortcut.action(event) !== false) event.preventDefault();
      return;
    }
  });
}

const KEY = "frontend-router.single-keys";

/** @param {HTMLInputElement} input */
function rememberSwitch(input) {
  try {
    input.checked = localStorage.getItem(KEY) !== "off";
    input.addEventListener("change", () => localStorage.setItem(KEY, input.checked ? "on" : "off"));
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["button", "submit"].includes(target.type);
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
