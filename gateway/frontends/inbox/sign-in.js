// @ts-check
/**
 * The panel where a person says who they are, in place of the questions.
 *
 * It hands on what was pasted and keeps nothing of it. What waits behind it stays as it
 * was: a draft is there again after a credential has ended and another one came.
 */

import { existing, isTouch } from "./elements.js";

/**
 * @param {object} on
 * @param {(pasted: string) => void} on.paste
 * @param {() => void} on.forget
 */
export function signInPanel({ paste, forget }) {
  const panel = existing("sign-in");
  const panes = existing("panes");
  const title = existing("sign-in-title");
  const problem = existing("sign-in-problem");
  const progress = existing("sign-in-progress");
  /** @type {HTMLInputElement} */
  const input = existing("sign-in-token");
  const button = existing("sign-in-button");
  const forgetButton = existing("sign-in-forget");
  existing("sign-in-insecure").hidden = window.isSecureContext;

  existing("sign-in-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const pasted = input.value;
    if (!pasted.trim()) {
      complain("Paste an API key or an access token first.");
      return input.focus();
    }
    input.value = "";
    complain("");
    paste(pasted);
  });
  forgetButton.addEventListener("click", () => {
    input.value = "";
    forget();
  });

  /** @param {string} words */
  function complain(words) {
    problem.textContent = words;
    if (words) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  /** @param {boolean} busy */
  function setBusy(busy) {
    button.disabled = busy;
    forgetButton.hidden = !busy;
    if (!busy) progress.textContent = "";
  }

  return {
    /**
     * Ask for a credential.
     * @param {string} reason   why the one before does not do; empty if there was none
     * @param {boolean} again   somebody was signed in until now
     */
    ask(reason, again) {
      panel.hidden = false;
      panes.hidden = true;
      title.textContent = again ? "Sign in again" : "Sign in to answer";
      existing("sign-in-drafts").hidden = !again;
      setBusy(false);
      complain(reason || (again ? "You are signed out." : ""));
      // In a frame the cursor is where the page around wants it. What somebody was
      // typing when their credential ended is no credential.
      if (window.top === window && (again || !isTouch())) (again ? title : input).focus();
    },
    /**
     * Say that a credential is being tried.
     * @param {string} words
     */
    wait(words) {
      if (panel.hidden) return;
      setBusy(true);
      progress.textContent = words;
    },
    /** Show the questions. Whether they were not shown before. */
    leave() {
      if (panel.hidden) return false;
      setBusy(false);
      complain("");
      input.value = "";
      panel.hidden = true;
      panes.hidden = false;
      return true;
    },
  };
}
