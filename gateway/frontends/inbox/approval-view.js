// @ts-check
/**
 * What an agent wants to run, shown whole: the person sees what the receipt is bound to.
 *
 * The gateway has written out whatever cannot be seen; here it is text and nothing else.
 */

import { element } from "./elements.js";

/** @typedef {import("./frontend-router.js").Approval} Approval */
/** @typedef {import("./frontend-router.js").Asker} Asker */

/**
 * @param {Approval} approval
 * @param {Asker} from
 */
export function approvalView(approval, from) {
  const lines = approval.arguments.split("\n").length;
  const caller = from.name && from.name !== from.subject ? `${from.subject} (says it is ${from.name})` : from.subject;
  return element(
    "section",
    { class: "approval", "aria-label": "What would run" },
    element(
      "dl",
      {},
      term("Tool", element("code", {}, approval.tool)),
      term("Reason", element("span", { class: "reason", dir: "auto" }, approval.reason)),
      term("Caller", element("span", { dir: "auto" }, caller)),
      term(
        `Arguments, ${lines === 1 ? "1 line" : `all ${lines} lines`}`,
        element("pre", { tabIndex: 0, dir: "ltr", "aria-label": "Arguments" }, approval.arguments),
      ),
    ),
    element(
      "p",
      { class: "hint" },
      "Approving lets exactly this run, once. \\u… stands for a character that cannot be seen.",
    ),
  );
}

/**
 * @param {string} name
 * @param {HTMLElement} value
 */
function term(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}
