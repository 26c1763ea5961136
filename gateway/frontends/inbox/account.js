// @ts-check
/** Who is signed in, and the way out. */

import { count } from "./durations.js";
import { existing } from "./elements.js";
import { isSignedInFromAround } from "./credential.js";

/** @typedef {import("./frontend-router.js").Router} Router */

/**
 * @param {Router} router
 * @param {() => void} signOut
 */
export function account(router, signOut) {
  const dialog = existing("account");
  const button = existing("identity-button");
  const label = existing("identity-label");
  let shown = "";
  existing("account-sign-out").addEventListener("click", () => {
    dialog.close();
    signOut();
  });

  return {
    /**
     * Show in the bar who is signed in.
     * @param {string} user  empty for nobody
     */
    name(user) {
      shown = user;
      label.textContent = user;
      label.hidden = !user;
      button.title = user ? `Signed in as ${user}` : "Who you are";
      if (!user) dialog.close();
    },
    /** Whether somebody is signed in, whose dialog is open now. */
    open() {
      if (!shown) return false;
      existing("account-user").textContent = shown;
      existing("account-groups").textContent = router.groups.join(", ") || "none";
      const unsent = router.unconfirmed;
      existing("account-unsent").textContent = unsent
        ? `${count(unsent, "answer")} did not reach the gateway yet; signing out forgets that.`
        : "";
      // Whoever signed the person in would do so again at once.
      const around = isSignedInFromAround();
      existing("account-sign-out").hidden = around;
      existing("account-around").hidden = !around;
      dialog.showModal();
      return true;
    },
  };
}
