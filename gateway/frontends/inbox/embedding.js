// @ts-check
/**
 * The inbox in a frame of somebody's web app, which says who its person is.
 *
 * Only the page directly around this one is heard, and only if its origin is one that the
 * gateway allows. What is said to it has no secret in it:
 *
 *     inbox → app   { type: "frontend-router.ready", refused: false }   hand me a token; refused: not that one again
 *     app → inbox   { type: "frontend-router.token", token: "..." }     at any time
 *     app → inbox   { type: "frontend-router.sign-out" }
 */

// An app that has nobody signed in may say nothing; then the person is asked.
const PATIENCE_MS = 5_000;

/**
 * @param {unknown} allowed  origins, as `/config.json` has them
 * @param {object} on
 * @param {(token: string) => void} on.token  one that nobody waited for
 * @param {() => void} on.signOut
 * @returns {((refused: boolean) => Promise<string>) | null} asks the app for a token; null when there is none to ask
 */
export function embedding(allowed, { token: onToken, signOut }) {
  const around = window.parent;
  const origins = new Set(Array.isArray(allowed) ? allowed.map(originOf).filter(Boolean) : []);
  if (around === window || !origins.size) return null;
  /** @type {((token: string) => void) | null} */
  let waiting = null;

  window.addEventListener("message", ({ source, origin, data }) => {
    if (source !== around || !origins.has(origin) || typeof data !== "object" || data === null) return;
    if (data.type === "frontend-router.sign-out") return signOut();
    if (data.type !== "frontend-router.token" || typeof data.token !== "string" || !data.token) return;
    if (waiting) waiting(data.token);
    else onToken(data.token);
  });

  return (refused) =>
    new Promise((resolve) => {
      const settle = (/** @type {string} */ token) => {
        clearTimeout(timer);
        if (waiting === settle) waiting = null;
        resolve(token);
      };
      const timer = setTimeout(() => settle(""), PATIENCE_MS);
      waiting?.("");
      waiting = settle;
      for (const origin of addressees(origins)) around.postMessage({ type: "frontend-router.ready", refused }, origin);
    });
}

/** The origin of the page around this one if the browser tells it; otherwise whoever it may be.
 * @param {Set<string>} origins */
function addressees(origins) {
  const known = location.ancestorOrigins?.[0] ?? originOf(document.referrer);
  return origins.has(known) ? [known] : known ? [] : [...origins];
}

/** As a browser writes it: without a default port.
 * @param {unknown} url */
function originOf(url) {
  try {
    return new URL(String(url)).origin;
  } catch {
    return "";
  }
}
