// @ts-check
/** Why a question left, in words that say who did what and not who is to blame. */

/** @typedef {import("./frontend-router.js").Closure} Closure */
/** @typedef {import("./frontend-router.js").Question} Question */

/**
 * @typedef {object} Closing
 * @property {string} words
 * @property {string} detail
 * @property {"good" | "other" | "bad"} tone
 * @property {boolean} mine
 */

/**
 * @param {Question} question
 * @param {Closure} closure
 * @returns {Closing}
 */
export function closingOf(question, closure) {
  const { mine } = closure;
  const who = closure.by?.user || "somebody else";
  const said = mine ? "" : closure.message || question.lastAck?.message || "";
  switch (closure.reason) {
    case "answered":
      return mine
        ? { words: "Answer sent", detail: question.lastAck?.message ?? "", tone: "good", mine }
        : { words: `Answered by ${who}`, detail: said, tone: "other", mine };
    case "rejected":
      return mine
        ? { words: "Declined", detail: "", tone: "good", mine }
        : { words: `Declined by ${who}`, detail: said, tone: "other", mine };
    case "timed_out":
      return { words: "Time ran out", detail: said || "The agent went on without an answer.", tone: "bad", mine };
    case "cancelled":
      return { words: "Withdrawn by the agent", detail: said, tone: "other", mine };
    case "reassigned":
      return { words: "Passed on to somebody else", detail: "", tone: "other", mine };
    case "gone":
      return { words: "Closed while you were offline", detail: "", tone: "other", mine };
    default:
      return { words: "No longer known to the gateway", detail: said, tone: "bad", mine };
  }
}
