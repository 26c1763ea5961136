// @ts-check
/**
 * Messages that ask for nothing: they come, stay long enough to be read, and go.
 *
 * A few are in view; further ones wait in a bounded line whose overflow is
 * counted instead of kept. An error stays until it is dismissed.
 */

import { element, icon } from "./elements.js";

/** @typedef {import("./frontend-router.js").Notice} Notice */

const IN_VIEW = 4;
const WAITING = 50;
const SHORTEST_MS = 6_000;
const PER_CHARACTER_MS = 50;
const LONGEST_MS = 20_000;
const MAX_LENGTH = 2_000;

/** @type {Record<Notice["level"], string>} */
const ICONS = { info: "info", success: "check", warning: "warning", error: "warning" };

/**
 * @param {HTMLElement} container
 */
export function toasts(container) {
  /** @type {Notice[]} */
  const waiting = [];
  let dropped = 0;

  /** @param {Notice} notice */
  function show(notice) {
    const asker = notice.from.name || notice.from.subject;
    const toast = element(
      "div",
      { class: "toast", "data-level": notice.level, role: notice.level === "error" ? "alert" : "status" },
      icon(ICONS[notice.level]),
      element(
        "div",
        { class: "toast-words" },
        element("strong", {}, notice.title || asker || "Message"),
        element("p", {}, notice.message.slice(0, MAX_LENGTH)),
        notice.title && asker && element("span", { class: "hint" }, asker),
      ),
      element(
        "button",
        { class: "tool", type: "button", "aria-label": "Dismiss", on: { click: () => leave(toast) } },
        icon("close"),
      ),
    );
    container.append(toast);
    if (notice.level === "error") return;
    const reading = Math.min(LONGEST_MS, SHORTEST_MS + notice.message.length * PER_CHARACTER_MS);
    let timer = setTimeout(() => leave(toast), reading);
    const hold = () => clearTimeout(timer);
    const release = () => {
      hold();
      timer = setTimeout(() => leave(toast), SHORTEST_MS / 2);
    };
    toast.addEventListener("pointerenter", hold);
    toast.addEventListener("pointerleave", release);
    toast.addEventListener("focusin", hold);
    toast.addEventListener("focusout", release);
  }

  /** @param {HTMLElement} toast */
  function leave(toast) {
    toast.remove();
    const next = waiting.shift();
    if (next) return show(next);
    if (!dropped) return undefined;
    const message = `${dropped} more messages came while these were in view.`;
    dropped = 0;
    return show({ id: "", title: "", message, level: "info", from: { subject: "" }, createdAt: 0 });
  }

  return (/** @type {Notice} */ notice) => {
    if (container.childElementCount < IN_VIEW) show(notice);
    else if (waiting.length < WAITING) waiting.push(notice);
    else dropped += 1;
  };
}
