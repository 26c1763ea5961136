// @ts-check
/**
 * What reaches a person who looks elsewhere: the tab's title and icon, and a
 * message from the desktop when they asked for it.
 *
 * Permission is asked for on a click and never otherwise.
 */

import { beginning, icon } from "./elements.js";
import { count } from "./durations.js";

const WANTED = "frontend-router.notify";
// A burst is one message, not a screenful.
const BURST_MS = 300;
const NAMED_IN_BURST = 2;
const URGENT_IN_BURST = 5;
// A title is changed through the whole browser: not for each of a thousand.
const BADGE_PAUSE_MS = 100;

/** @typedef {import("./frontend-router.js").Question} Question */

/**
 * @param {HTMLButtonElement} button
 * @param {(id: string) => void} onOpen
 */
export function notifications(button, onOpen) {
  /** @type {Map<string, Notification>} */
  const shown = new Map();
  /** @type {Question[]} */
  let burst = [];
  let timer = 0;

  const supported = "Notification" in window;
  const isOn = () => supported && Notification.permission === "granted" && remembered() !== "no";

  function drawButton() {
    const blocked = supported && Notification.permission === "denied";
    const label = isOn() ? "Notifying you" : blocked ? "Blocked by the browser" : "Notify me";
    button.replaceChildren(
      icon(isOn() ? "bell" : "bell-off"),
      Object.assign(document.createElement("span"), { className: "tool-label", textContent: label }),
    );
    button.setAttribute("aria-pressed", String(isOn()));
    button.title = blocked
      ? "Allow notifications for this page in the browser's settings."
      : "Desktop notifications while this page is out of sight";
    button.disabled = blocked;
    button.hidden = !supported;
  }

  button.addEventListener("click", async () => {
    if (isOn()) remember("no");
    else if ((await Notification.requestPermission()) === "granted") remember("yes");
    drawButton();
  });

  function tell() {
    timer = 0;
    const waiting = burst.filter((question) => question.phase !== "closed");
    burst = [];
    // What is urgent is named by itself, however much comes with it.
    const isUrgent = (/** @type {Question} */ { urgency }) => urgency === "high";
    waiting.filter(isUrgent).slice(0, URGENT_IN_BURST).forEach(notifyOf);
    const open = waiting.filter((question) => !isUrgent(question));
    if (open.length > NAMED_IN_BURST) {
      notify("", `${count(open.length, "question")} for you`, "Agents are waiting in the inbox.");
      return;
    }
    open.forEach(notifyOf);
  }

  /** @param {Question} question */
  function notifyOf({ id, from, heading, urgency }) {
    const who = from.name || from.subject || "An agent asks";
    const isUrgent = urgency === "high";
    notify(id, isUrgent ? `Urgent: ${who}` : who, beginning(heading, 180), isUrgent);
  }

  /**
   * @param {string} id
   * @param {string} title
   * @param {string} body
   * @param {boolean} [stays]  until somebody has seen it
   */
  function notify(id, title, body, stays = false) {
    const options = { body, tag: id || "burst", icon: "icon.svg", requireInteraction: stays };
    const notification = attempt(() => new Notification(title, options));
    if (!notification) return;
    notification.onclick = () => {
      window.focus();
      if (id) onOpen(id);
      notification.close();
    };
    notification.onclose = () => shown.delete(id);
    shown.set(id, notification);
  }

  drawButton();
  return {
    /** @param {Question} question */
    asked(question) {
      // What is not urgent at all waits until somebody looks.
      if (!isOn() || !document.hidden || question.urgency === "low") return;
      burst.push(question);
      timer ||= window.setTimeout(tell, BURST_MS);
    },
    /** @param {string} id */
    closed(id) {
      shown.get(id)?.close();
    },
    toggle: () => button.click(),
  };
}

/**
 * The number of open questions where a tab shows it.
 * @param {HTMLLinkElement} favicon
 */
export function tabBadge(favicon) {
  let shown = 0;
  let wanted = 0;
  let timer = 0;
  const title = document.title;
  const plain = favicon.href;

  function show() {
    timer = 0;
    if (Boolean(shown) !== Boolean(wanted)) favicon.href = wanted ? dotted() : plain;
    shown = wanted;
    document.title = shown ? `(${shown}) ${title}` : title;
  }

  return (/** @type {number} */ open) => {
    wanted = open;
    if (wanted !== shown) timer ||= window.setTimeout(show, BADGE_PAUSE_MS);
  };
}

/** The icon with a dot: browsers that draw SVG icons take one as data. */
function dotted() {
  const drawing =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0e6b58"/>' +
    '<path d="M7.5 9.5a2 2 0 0 1 2-2h13a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H16l-4.5 4.5v-4.5h-2a2 2 0 0 1-2-2Z" fill="#fff"/>' +
    '<circle cx="24" cy="8" r="8" fill="#e5484d" stroke="#fff" stroke-width="2"/></svg>';
  return `data:image/svg+xml,${encodeURIComponent(drawing)}`;
}

function remembered() {
  return attempt(() => localStorage.getItem(WANTED));
}

/** @param {string} value */
function remember(value) {
  attempt(() => localStorage.setItem(WANTED, value));
}

/**
 * Storage may be off, and some phones refuse to make a notification.
 * @template T
 * @param {() => T} action
 * @returns {T | undefined}
 */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}
