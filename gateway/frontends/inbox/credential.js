// @ts-check
/**
 * The credential of the person at this page: in this module's memory and nowhere else.
 *
 * It refuses to outlive the page: no storage, no cookie, no URL, no attribute and no log
 * has it. Only the router is given it, and shows it to the gateway alone.
 */

let kept = "";

/** The page around this one, when there is one that may sign people in.
 * @type {((refused: boolean) => Promise<string>) | null} */
let askAround = null;

/** Whether what is kept came from the page around this one. */
let isTheirs = false;

/**
 * Keep a credential in place of the one before. People paste it as they have it: with spaces around it, or as in a
 * header.
 * @param {string} pasted
 */
export function keepCredential(pasted) {
  kept = pasted.trim().replace(/^bearer\s+/i, "");
  isTheirs = false;
}

export function forgetCredential() {
  keepCredential("");
}

export function hasCredential() {
  return kept !== "";
}

/** Whether the page around this one signs the person in, and out. */
export function isSignedInFromAround() {
  return isTheirs;
}

/** @param {string} token */
export function keepFromAround(token) {
  keepCredential(token);
  isTheirs = hasCredential();
}

/** @param {(refused: boolean) => Promise<string>} ask */
export function askAroundFirst(ask) {
  askAround = ask;
}

/**
 * What the router shows. What was refused is shown again if there is nothing else: then it hears why.
 * @param {{ refused: boolean }} how
 */
export async function credential({ refused }) {
  if (askAround && (refused || !kept)) {
    const fresh = await askAround(refused);
    if (fresh) keepFromAround(fresh);
  }
  return kept;
}
