// @ts-check
/**
 * What was typed and not sent, kept in this browser across a reload.
 *
 * It keeps a bounded number of texts of bounded length, each for a week, and
 * works without storage by forgetting.
 */

const PREFIX = "frontend-router.draft.";
const MAX_DRAFTS = 200;
const MAX_LENGTH = 65_536;
const KEPT_MS = 7 * 24 * 3600 * 1000;

// Who signed in here before is not shown to who does now.
let prefix = PREFIX;

/** @param {string} user  empty where nobody signs in */
export function draftsAreOf(user) {
  prefix = user ? `${PREFIX}${user}:` : PREFIX;
}

/**
 * @param {string} id
 * @returns {string}
 */
export function readDraft(id) {
  return attempt(() => JSON.parse(localStorage.getItem(prefix + id) ?? "{}").text) ?? "";
}

/**
 * @param {string} id
 * @param {string} text
 */
export function keepDraft(id, text) {
  if (!text) return dropDraft(id);
  attempt(() => localStorage.setItem(prefix + id, JSON.stringify({ text: text.slice(0, MAX_LENGTH), at: Date.now() })));
}

/** @param {string} id */
export function dropDraft(id) {
  attempt(() => localStorage.removeItem(prefix + id));
}

/** Forget all that this user typed. */
export function dropAllDrafts() {
  attempt(() => {
    for (const key of Object.keys(localStorage)) if (key.startsWith(prefix)) localStorage.removeItem(key);
  });
}

/** Forget old drafts, and the oldest of too many. */
export function pruneDrafts() {
  attempt(() => {
    const kept = Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX))
      .map((key) => ({ key, at: Number(attempt(() => JSON.parse(localStorage.getItem(key) ?? "{}").at) ?? 0) }))
      .sort((one, other) => other.at - one.at);
    const tooOld = Date.now() - KEPT_MS;
    kept.forEach(({ key, at }, index) => (index >= MAX_DRAFTS || at < tooOld) && localStorage.removeItem(key));
  });
}

/**
 * @template T
 * @param {() => T} action
 * @returns {T | undefined}
 */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined; // Storage is off, full, or holds something else.
  }
}
