// @ts-check
/**
 * Markdown from an agent, as elements.
 *
 * Nothing of it becomes markup: each element is made here, from a list of kinds, and whatever
 * is not understood stays text. Nothing is loaded from elsewhere: an image is shown when it
 * is in the text itself (`data:`, PNG, JPEG, GIF or WebP), and a link opens when it is clicked.
 * Line breaks stay, as most of what agents paste has meant them.
 */

import { element } from "./elements.js";

const MAX_LETTERS = 300_000;
const MAX_LINES = 5_000;
const MAX_DEPTH = 6;
// How far the end of a span is looked for, and how many may be looked for in all: what is
// beyond that stays text, and no text takes long.
const MAX_SPAN = 2_000;
const MAX_STEPS = 20_000;
const MAX_IMAGES = 8;
// Letters of base64: about 190 KB of an image.
const MAX_IMAGE = 256 * 1024;

const IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
// Not to the end of the line: each of many blanks would be tried as the last one before the rest.
const HEADING = /^ {0,3}(#{1,6})[ \t]+/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}>[ ]?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])[ \t]+/;
const DIVIDER_CELL = /^:?-+:?$/;
const MARK = /\\[!-/:-@[-`{-~]|`+|!?\[|\*\*|__|~~|\*|_|https?:\/\//g;
const LINK_END = /[\s<>"']/;

/** @typedef {{ images: number, steps: number }} Budget */

/**
 * @param {string} text
 * @returns {HTMLElement}
 */
export function markdown(text) {
  const lines = text.length <= MAX_LETTERS ? text.split(/\r\n|\r|\n/) : [];
  if (!lines.length || lines.length > MAX_LINES) return element("pre", {}, text);
  return element("div", { class: "markdown", dir: "auto" }, ...blocks(lines, 0, { images: MAX_IMAGES, steps: MAX_STEPS }));
}

/**
 * @param {string[]} lines
 * @param {number} depth
 * @param {Budget} budget
 * @returns {HTMLElement[]}
 */
function blocks(lines, depth, budget) {
  if (depth > MAX_DEPTH) return [element("p", {}, lines.join("\n"))];
  /** @type {HTMLElement[]} */
  const made = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [block, next] = blockAt(lines, at, depth, budget);
    made.push(block);
    at = next;
  }
  return made;
}

/**
 * The block that begins at a line, and where the next one may.
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 * @param {Budget} budget
 * @returns {[HTMLElement, number]}
 */
function blockAt(lines, at, depth, budget) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return code(lines, at, fence[1]);
  const heading = HEADING.exec(line);
  if (heading) {
    // The question is the heading above them.
    const tag = /** @type {"h3"} */ (`h${Math.min(6, heading[1].length + 2)}`);
    return [element(tag, {}, ...inline(line.slice(heading[0].length), budget)), at + 1];
  }
  if (RULE.test(line)) return [element("hr"), at + 1];
  if (QUOTE.test(line)) {
    let end = at;
    while (end < lines.length && QUOTE.test(lines[end])) end += 1;
    const inside = lines.slice(at, end).map((each) => each.replace(QUOTE, ""));
    return [element("blockquote", {}, ...blocks(inside, depth + 1, budget)), end];
  }
  if (ITEM.test(line)) return list(lines, at, depth, budget);
  const below = lines[at + 1] ?? "";
  if (line.includes("|") && below.includes("-") && cellsOf(below).every((cell) => DIVIDER_CELL.test(cell))) {
    return table(lines, at, budget);
  }
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines[end])) end += 1;
  return [element("p", {}, ...inline(lines.slice(at, end).join("\n"), budget)), end];
}

/** @param {string} line */
function begins(line) {
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((pattern) => pattern.test(line));
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {string} fence
 * @returns {[HTMLElement, number]}
 */
function code(lines, at, fence) {
  let end = at + 1;
  while (end < lines.length && !(lines[end].trim().startsWith(fence) && !lines[end].trim().replaceAll(fence[0], ""))) {
    end += 1;
  }
  const inside = lines.slice(at + 1, end).join("\n");
  return [element("pre", { tabIndex: 0 }, element("code", {}, inside)), end + 1];
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 * @param {Budget} budget
 * @returns {[HTMLElement, number]}
 */
function list(lines, at, depth, budget) {
  const marker = /** @type {RegExpExecArray} */ (ITEM.exec(lines[at]))[2];
  const ordered = marker.length > 1;
  const items = [];
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (!item || item[2].length > 1 !== ordered) break;
    const width = item[0].length;
    const inside = [lines[end].slice(width)];
    end += 1;
    while (end < lines.length && belongs(lines, end)) {
      inside.push(lines[end].replace(/^[ \t]+/, (blanks) => blanks.slice(width)));
      end += 1;
    }
    items.push(element("li", {}, ...unwrapped(blocks(inside, depth + 1, budget))));
  }
  if (!ordered) return [element("ul", {}, ...items), end];
  return [element("ol", { start: Number.parseInt(marker, 10) }, ...items), end];
}

/** Whether a line goes on with the item before it.
 * @param {string[]} lines
 * @param {number} at */
function belongs(lines, at) {
  if (/^(?: {2,}|\t)/.test(lines[at])) return true;
  if (lines[at].trim()) return !begins(lines[at]) && Boolean(lines[at - 1].trim());
  return at + 1 < lines.length && /^(?: {2,}|\t)\S/.test(lines[at + 1]);
}

/** An item of one paragraph is a line, not a paragraph.
 * @param {HTMLElement[]} made */
function unwrapped(made) {
  return made[0]?.tagName === "P" ? [...made[0].childNodes, ...made.slice(1)] : made;
}

/** @param {string} line */
function cellsOf(line) {
  return line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {Budget} budget
 * @returns {[HTMLElement, number]}
 */
function table(lines, at, budget) {
  const row = (/** @type {"th" | "td"} */ tag, /** @type {string} */ line) =>
    element("tr", {}, ...cellsOf(line).map((cell) => element(tag, {}, ...inline(cell, budget))));
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim()) end += 1;
  const body = lines.slice(at + 2, end).map((line) => row("td", line));
  const made = element("table", {}, element("thead", {}, row("th", lines[at])), element("tbody", {}, ...body));
  return [element("div", { class: "wide", tabIndex: 0 }, made), end];
}

/**
 * @param {string} text
 * @param {Budget} budget
 * @param {number} [depth]
 * @returns {(Node | string)[]}
 */
function inline(text, budget, depth = 0) {
  if (depth > MAX_DEPTH) return [text];
  /** @type {(Node | string)[]} */
  const made = [];
  const marks = new RegExp(MARK);
  let plain = 0;
  let found;
  while ((found = marks.exec(text))) {
    const span = spanAt(text, found.index, found[0], budget, depth);
    if (!span) continue;
    if (found.index > plain) made.push(text.slice(plain, found.index));
    made.push(span[0]);
    plain = marks.lastIndex = span[1];
  }
  if (plain < text.length) made.push(text.slice(plain));
  return made;
}

/**
 * What a mark begins, and where that ends; nothing when it is only a letter.
 * @param {string} text
 * @param {number} at
 * @param {string} mark
 * @param {Budget} budget
 * @param {number} depth
 * @returns {[Node | string, number] | null}
 */
function spanAt(text, at, mark, budget, depth) {
  budget.steps -= 1;
  if (budget.steps < 0) return null;
  if (mark[0] === "\\") return [mark[1], at + 2];
  if (mark[0] === "`") {
    const end = text.slice(at + mark.length, at + mark.length + MAX_SPAN).indexOf(mark);
    if (end < 0) return null;
    const inside = text.slice(at + mark.length, at + mark.length + end);
    return [element("code", {}, inside.trim() || inside), at + 2 * mark.length + end];
  }
  if (mark.startsWith("http")) {
    let end = at;
    while (end < text.length && end - at < MAX_SPAN && !LINK_END.test(text[end])) end += 1;
    while (".,;:!?)]*_~".includes(text[end - 1])) end -= 1;
    const url = text.slice(at, end);
    const link = linkTo(url, [url]);
    return link && [link, at + url.length];
  }
  if (mark.endsWith("[")) return linkAt(text, at, mark, budget, depth);
  return emphasisAt(text, at, mark, budget, depth);
}

/**
 * @param {string} text
 * @param {number} at
 * @param {string} mark
 * @param {Budget} budget
 * @param {number} depth
 * @returns {[Node, number] | null}
 */
function emphasisAt(text, at, mark, budget, depth) {
  const from = at + mark.length;
  // `snake_case`, `2 * 3` and `~~` alone are none.
  if (!/\S/.test(text[from] ?? " ") || (mark[0] === "_" && /\w/.test(text[at - 1] ?? ""))) return null;
  const near = text.slice(from, from + MAX_SPAN);
  for (let end = near.indexOf(mark, 1); end > 0; end = near.indexOf(mark, end + 1)) {
    budget.steps -= 1;
    if (budget.steps < 0) return null;
    const after = near[end + mark.length] ?? "";
    if (!/\S/.test(near[end - 1]) || after === mark[0]) continue;
    if (mark[0] === "_" && /\w/.test(after)) continue;
    const tag = mark === "~~" ? "del" : mark.length > 1 ? "strong" : "em";
    return [element(tag, {}, ...inline(near.slice(0, end), budget, depth + 1)), from + end + mark.length];
  }
  return null;
}

/**
 * @param {string} text
 * @param {number} at
 * @param {string} mark
 * @param {Budget} budget
 * @param {number} depth
 * @returns {[Node, number] | null}
 */
function linkAt(text, at, mark, budget, depth) {
  const from = at + mark.length;
  const middle = text.slice(from, from + MAX_SPAN).indexOf("](");
  if (middle < 0) return null;
  const label = text.slice(from, from + middle);
  const start = from + middle + 2;
  const isData = mark === "![" && text.startsWith("data:", start);
  if (isData) budget.images -= 1;
  const length = text.slice(start, start + (isData && budget.images >= 0 ? MAX_IMAGE + 1 : MAX_SPAN)).indexOf(")");
  if (length < 0) return null;
  const url = text.slice(start, start + length).trim();
  const end = start + length + 1;
  if (mark === "![") return [imageOf(url, label, budget), end];
  const link = linkTo(url, inline(label, budget, depth + 1));
  return link && [link, end];
}

/**
 * @param {string} url
 * @param {string} label
 * @param {Budget} budget
 */
function imageOf(url, label, budget) {
  const fits = budget.images >= 0;
  if (fits && IMAGE.test(url)) {
    const image = element("img", { alt: label || "Image without a description", src: url, decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(missing(image.alt, "it is damaged")));
    return image;
  }
  if (!url.startsWith("data:")) return missing(label, "images from elsewhere are not loaded");
  return missing(label, fits ? "it is no PNG, JPEG, GIF or WebP" : "it is too large, or one too many");
}

/**
 * @param {string} label
 * @param {string} why
 */
function missing(label, why) {
  return element("span", { class: "missing-image" }, `[Image not shown: ${label || "without a description"}; ${why}]`);
}

/**
 * @param {string} url
 * @param {(Node | string)[]} label
 * @returns {HTMLElement | null}
 */
function linkTo(url, label) {
  let target;
  try {
    target = new URL(url);
  } catch {
    return null;
  }
  if (!["http:", "https:", "mailto:"].includes(target.protocol)) return null;
  const link = element(
    "a",
    { href: target.href, target: "_blank", rel: "noopener noreferrer", referrerPolicy: "no-referrer" },
    ...label,
  );
  // Where it leads is said beside what it says.
  const where = target.host || target.pathname;
  if (link.textContent?.includes(where)) return link;
  return element("span", {}, link, element("span", { class: "hint" }, ` (${where})`));
}
