// @ts-check
/**
 * Elements and short texts, made safely: whatever comes from outside becomes a
 * text node or an attribute, never markup.
 */

/**
 * Make an element. Properties are set as properties where the element has them
 * and as attributes otherwise; `on` holds listeners, `false` and `null` mean
 * "leave it out".
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | false | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (name === "class") made.className = value;
    else if (name in made && !name.startsWith("aria")) /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * An element that is in the page from the start.
 * @param {string} id
 * @returns {any}
 */
export function existing(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A drawing from the page's sprite (`<symbol id="icon-...">` in index.html).
 * @param {string} name
 */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  drawing.append(use);
  return drawing;
}

/**
 * A round letter in a colour of its own for each asker.
 * @param {string} name
 */
export function avatar(name) {
  const made = element("span", { class: "avatar", "aria-hidden": "true" }, [...name.trim()][0]?.toUpperCase() ?? "?");
  made.style.setProperty("--hue", String(hueOf(name)));
  return made;
}

/** @param {string} name */
function hueOf(name) {
  let hash = 0;
  for (const character of name.slice(0, 64)) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return hash;
}

/**
 * A key as it is printed on this machine's keyboard.
 * @param {string} key
 */
export function keyCap(key) {
  return element("kbd", {}, key === "Mod" ? (isApple() ? "⌘" : "Ctrl") : key);
}

export function isApple() {
  return /Mac|iPhone|iPad/.test(navigator.platform);
}

/** Nobody wants a keyboard to jump up at them on a phone. */
export function isTouch() {
  return matchMedia("(pointer: coarse)").matches;
}

/**
 * Cut a text for a place that shows only its beginning.
 * @param {string} text
 * @param {number} length
 */
export function beginning(text, length) {
  return text.length > length ? `${text.slice(0, length - 1).trimEnd()}…` : text;
}
