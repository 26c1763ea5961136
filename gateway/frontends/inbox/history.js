// @ts-check
/**
 * What was answered or declined in this tab, newest first.
 *
 * Kept for the tab's life in session storage, a bounded number of entries of
 * bounded length; nothing of it leaves the browser.
 */

import { copyButton } from "./question-card.js";
import { timeAgo } from "./durations.js";
import { beginning, element, icon } from "./elements.js";

const KEY = "frontend-router.history";
const OWNER = "frontend-router.history-owner";
const MAX_ENTRIES = 100;
const MAX_TEXT = 4_000;

/** @typedef {{ asker: string, question: string, said: string, outcome: string, good: boolean, at: number }} Done */

/**
 * @param {HTMLElement} container
 * @param {HTMLElement} counter
 */
export function history(container, counter) {
  const entries = remembered();

  function draw() {
    counter.textContent = String(entries.length);
    if (!entries.length) {
      container.replaceChildren(
        element("p", { class: "history-empty" }, "What you answer in this tab is listed here."),
      );
      return;
    }
    container.replaceChildren(...entries.map(line));
  }

  draw();
  return {
    draw,
    /**
     * Forget what another user answered in this tab.
     * @param {string} user  empty for all
     */
    belongTo(user) {
      try {
        if (user && sessionStorage.getItem(OWNER) === user) return;
        sessionStorage.setItem(OWNER, user);
        sessionStorage.removeItem(KEY);
      } catch {
        // Storage is off: there is nothing in it.
      }
      entries.length = 0;
      draw();
    },
    /** @param {Done} done */
    add(done) {
      entries.unshift({ ...done, question: beginning(done.question, MAX_TEXT), said: beginning(done.said, MAX_TEXT) });
      entries.length = Math.min(entries.length, MAX_ENTRIES);
      try {
        sessionStorage.setItem(KEY, JSON.stringify(entries));
      } catch {
        // Storage is off or full: the list lasts as long as the page.
      }
      counter.textContent = String(entries.length);
      if (!container.hidden) draw();
    },
  };
}

/** @param {Done} done */
function line(done) {
  return element(
    "details",
    { class: "done" },
    element(
      "summary",
      {},
      element(
        "span",
        { class: done.good ? "outcome good" : "outcome" },
        icon(done.good ? "check" : "clock"),
        done.outcome,
      ),
      element("span", { class: "done-text", dir: "auto" }, beginning(done.question, 160)),
      element("span", { class: "hint" }, `${done.asker} · ${timeAgo(Date.now() - done.at)}`),
    ),
    element("p", { class: "done-question", dir: "auto" }, done.question),
    done.said && element("pre", { class: "done-said", dir: "auto" }, done.said),
    done.said && copyButton(done.said, "Copy"),
  );
}

/** @returns {Done[]} */
function remembered() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.slice(0, MAX_ENTRIES) : [];
  } catch {
    return [];
  }
}
