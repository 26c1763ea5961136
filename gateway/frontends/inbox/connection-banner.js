// @ts-check
/** How the connection stands, in a word beside the title and, when it is bad, in a sentence. */

import { existing } from "./elements.js";

/** @typedef {import("./frontend-router.js").Router} Router */
/** @typedef {import("./frontend-router.js").StateChange} StateChange */

// A hiccup shorter than this is nobody's business.
const QUIET_MS = 2_000;

/**
 * @param {Router} router
 */
export function connectionBanner(router) {
  const badge = existing("connection");
  const badgeText = existing("connection-text");
  const banner = existing("banner");
  const sentence = existing("banner-text");
  const button = existing("banner-button");
  let retryAt = 0;
  let downSince = Date.now();
  /** @type {StateChange} */
  let last = { state: "connecting" };

  button.addEventListener("click", () => router.reconnect());

  function draw() {
    const { state } = last;
    badge.dataset.state = state;
    const word = {
      open: "Connected",
      connecting: "Connecting…",
      waiting: "Reconnecting…",
      closed: last.needsSignIn ? "Signed out" : "Disconnected",
    }[state];
    if (badgeText.textContent !== word) badgeText.textContent = word;
    // Who has to sign in sees a panel that says so.
    const over = state === "closed" && !last.needsSignIn;
    const bad = over || (state !== "closed" && state !== "open" && Date.now() - downSince > QUIET_MS);
    banner.hidden = !bad;
    if (!bad) return;
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    const words =
      state === "closed"
        ? `The gateway ended the connection for good${last.reason ? `: ${last.reason}` : ""}${last.code ? ` (${last.code})` : ""}.`
        : `No connection to the gateway. ${state === "waiting" && seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…"} What you answer is kept and sent then.`;
    if (sentence.textContent !== words) sentence.textContent = words;
    button.hidden = state === "connecting";
    button.textContent = state === "closed" ? "Connect again" : "Try now";
  }

  return {
    /** @param {StateChange} change */
    changed(change) {
      if (last.state === "open" && change.state !== "open") downSince = Date.now();
      last = change;
      retryAt = change.retryAt ?? 0;
      draw();
    },
    tick: draw,
  };
}
