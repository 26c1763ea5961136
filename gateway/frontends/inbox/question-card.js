// @ts-check
/**
 * One question as a person reads and answers it.
 *
 * The card shows what the connection and the gateway say about the answer and
 * keeps the typed text whatever they say. It sends by calling what it was
 * given, and decides nothing about other questions.
 */

import { editorFor } from "./answer-editors.js";
import { timeAgo, timeLeft, timeLeftInWords, urgency } from "./durations.js";
import { approvalView } from "./approval-view.js";
import { avatar, element, icon, keyCap } from "./elements.js";
import { markdown } from "./markdown.js";

/** @typedef {import("./inbox.js").Entry} Entry */
/** @typedef {import("./frontend-router.js").Answer} Answer */

/**
 * @typedef {object} CardActions
 * @property {(answer: Answer) => void} onAnswer
 * @property {(reason: string) => void} onReject
 * @property {(draft: string) => void} onType
 * @property {() => void} onNext
 */

// A key that was meant for the question before must not answer this one.
const SETTLE_IN_MS = 500;

/**
 * @param {Entry} entry
 * @param {CardActions} actions
 * @param {boolean} followed  it took the place of a question just answered
 */
export function questionCard(entry, actions, followed) {
  const { question } = entry;
  let readyAt = followed ? performance.now() + SETTLE_IN_MS : 0;
  const editor = editorFor(question, (answer) => send(answer));
  const clock = clockFor(question);
  const status = element("p", { class: "status", role: "status" });
  const verdict = element("div", { class: "verdict", role: "status" });
  const refusal = refusalForm(entry, actions, () => showRefusal(false));
  const sendButton = element("button", { class: "button primary", type: "submit" }, "Send answer");
  const rejectButton = element(
    "button",
    { class: "button quiet", type: "button", on: { click: () => showRefusal(true) } },
    question.approval ? "Reject…" : "Decline…",
  );
  const hint = editor.picks
    ? element("span", { class: "keys-hint keyboard-only" }, keyCap("1"), "… then ", keyCap("↵"))
    : element("span", { class: "keys-hint keyboard-only" }, keyCap("Mod"), keyCap("↵"));
  const actionsRow = element(
    "div",
    { class: "actions" },
    rejectButton,
    element("span", { class: "gap" }),
    hint,
    !editor.picks && sendButton,
  );
  const answer = element("form", { class: "answer", noValidate: true }, editor.element, actionsRow);
  const title = element("h2", { class: "question", id: "question-text", tabIndex: -1, dir: "auto" }, question.heading);
  title.classList.toggle("long", question.heading.length > 240);
  const card = element(
    "article",
    { class: "card", "aria-labelledby": "question-text" },
    headOf(entry, clock.element),
    title,
    question.approval && approvalView(question.approval, question.from),
    contextOf(question.context),
    answer,
    refusal.element,
    status,
    verdict,
  );

  /** What has gone out may count, even where its line was lost: nobody can say anything else then. */
  function isBusy() {
    return question.phase === "sending" || question.phase === "closed";
  }

  /** @param {Answer} value */
  function send(value) {
    if (isBusy()) return;
    if (performance.now() < readyAt) return;
    entry.said = typeof value === "string" ? value : JSON.stringify(value.content, null, 2);
    actions.onAnswer(value);
  }

  /** @param {boolean} shown */
  function showRefusal(shown) {
    if (isBusy()) return;
    answer.hidden = shown;
    refusal.element.hidden = !shown;
    if (shown) refusal.focus();
    else rejectButton.focus();
  }

  answer.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = editor.answer();
    if (value !== null) send(value);
  });
  answer.addEventListener("input", () => {
    readyAt = 0;
    actions.onType(editor.draft());
  });
  const draft = entry.typed || question.draftText;
  if (draft) editor.restore(draft);

  function update() {
    const { phase } = question;
    card.dataset.phase = phase;
    const busy = isBusy();
    for (const control of answer.querySelectorAll("button, input, textarea, select")) {
      /** @type {HTMLButtonElement} */ (control).disabled = busy;
    }
    for (const choice of answer.querySelectorAll(".choice")) {
      choice.classList.toggle(
        "chosen",
        phase !== "open" && /** @type {HTMLButtonElement} */ (choice).value === entry.said,
      );
    }
    if (busy) refusal.element.hidden = true;
    answer.hidden = phase === "closed" ? !editor.picks && !editor.draft() : !refusal.element.hidden;
    actionsRow.hidden = phase === "closed";
    sayStatus();
    if (entry.closing) showVerdict(entry.closing);
    clock.tick();
  }

  function sayStatus() {
    const { lastAck, phase } = question;
    let words = "";
    let tone = "plain";
    if (phase === "sending") words = "Your answer is on its way…";
    else if (phase === "unsent")
      words = "No connection right now. Your answer is kept and goes out by itself.";
    else if (phase === "open" && lastAck) {
      words =
        lastAck.status === "unacknowledged"
          ? "The gateway did not confirm the answer. Try again."
          : lastAck.message || "The gateway did not take this answer.";
      tone = "bad";
    }
    status.dataset.tone = tone;
    if (status.textContent !== words) status.textContent = words;
  }

  /** @param {NonNullable<Entry["closing"]>} closing */
  function showVerdict(closing) {
    if (verdict.childElementCount) return;
    verdict.dataset.tone = closing.tone;
    const kept = closing.mine ? "" : entry.said || entry.typed;
    verdict.append(
      icon(closing.tone === "good" ? "check" : closing.tone === "bad" ? "clock" : "people"),
      element(
        "div",
        { class: "verdict-words" },
        element("strong", {}, closing.words),
        closing.detail && element("span", {}, closing.detail),
      ),
      kept ? copyButton(kept, "Copy your text") : "",
      closing.mine ? "" : element("button", { class: "button", type: "button", on: { click: actions.onNext } }, "Next"),
    );
  }

  update();
  return {
    element: card,
    entry,
    update,
    tick: clock.tick,
    /** Put the cursor where the answer goes; where none goes any more, move on. */
    focusAnswer() {
      if (question.phase === "closed") actions.onNext();
      else if (refusal.element.hidden) editor.focus();
      else refusal.focus();
    },
    focusTitle: () => title.focus({ preventScroll: true }),
    choose: editor.choose,
    picks: editor.picks,
    submit: () => (refusal.element.hidden ? answer.requestSubmit() : refusal.element.requestSubmit()),
    startRejecting: () => showRefusal(true),
    /** @returns {boolean} whether there was something to step back from */
    stepBack() {
      if (refusal.element.hidden || question.phase === "closed") return false;
      showRefusal(false);
      return true;
    },
  };
}

/**
 * @param {Entry} entry
 * @param {HTMLElement} clock
 */
function headOf({ question }, clock) {
  const { name, subject } = question.from;
  const asker = name || subject || "Somebody";
  // Without credentials everybody is "anonymous", which tells nobody anything.
  const also = name && subject && name !== subject && subject !== "anonymous" ? subject : "";
  const urgent = question.urgency === "high" && "Urgent";
  const details = [urgent, also, timeAgo(Date.now() - question.createdAt)];
  return element(
    "header",
    { class: "card-head" },
    avatar(asker),
    element(
      "div",
      { class: "who" },
      element("span", { class: "asker" }, asker),
      element("span", { class: "hint" }, details.filter(Boolean).join(" · ")),
    ),
    clock,
  );
}

/** @param {string} context */
function contextOf(context) {
  if (!context) return null;
  return element(
    "details",
    { class: "context", open: true },
    element("summary", {}, "Context"),
    element("div", { class: "scrolled", role: "region", tabIndex: 0, dir: "auto", "aria-label": "Context" }, markdown(context)),
  );
}

/**
 * @param {Entry} entry
 * @param {CardActions} actions
 * @param {() => void} onBack
 */
function refusalForm(entry, actions, onBack) {
  const reason = element("textarea", {
    id: "refusal-reason",
    rows: 2,
    maxLength: 2000,
    placeholder: "The agent is told this.",
  });
  const form = element(
    "form",
    { class: "refusal", hidden: true, noValidate: true },
    element(
      "div",
      { class: "field" },
      element(
        "label",
        { htmlFor: reason.id },
        entry.question.approval ? "Why do you reject it? " : "Why do you decline? ",
        element("span", { class: "optional" }, "optional"),
      ),
      reason,
    ),
    element(
      "div",
      { class: "actions" },
      element("button", { class: "button quiet", type: "button", on: { click: onBack } }, "Back"),
      element("span", { class: "gap" }),
      element("button", { class: "button danger", type: "submit" }, entry.question.approval ? "Reject" : "Decline the question"),
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    entry.said = reason.value.trim();
    actions.onReject(entry.said);
  });
  return { element: form, focus: () => reason.focus() };
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * The time left, as a ring that empties and as figures.
 * @param {import("./frontend-router.js").Question} question
 */
function clockFor(question) {
  const ring = document.createElementNS(SVG, "svg");
  ring.setAttribute("viewBox", "0 0 36 36");
  ring.setAttribute("aria-hidden", "true");
  const [track, arc] = ["track", "arc"].map((name) => {
    const circle = document.createElementNS(SVG, "circle");
    for (const [attribute, value] of Object.entries({ class: name, cx: 18, cy: 18, r: 15, pathLength: 100 })) {
      circle.setAttribute(attribute, String(value));
    }
    return circle;
  });
  ring.append(track, arc);
  const figures = element("span", { class: "figures" });
  const made = element("div", { class: "clock", role: "timer" }, ring, figures);
  made.hidden = !Number.isFinite(question.deadline);
  const whole = question.deadline - question.createdAt;

  function tick() {
    const { remaining } = question;
    const closed = question.phase === "closed";
    figures.textContent = closed ? "" : timeLeft(remaining);
    made.dataset.urgency = closed ? "over" : urgency(remaining);
    made.setAttribute("aria-label", closed ? "closed" : timeLeftInWords(remaining));
    arc.style.strokeDashoffset = String(100 - 100 * Math.min(1, Math.max(0, closed ? 0 : remaining / whole)));
  }

  return { element: made, tick };
}

/**
 * @param {string} text
 * @param {string} label
 */
export function copyButton(text, label) {
  const words = element("span", {}, label);
  const button = element("button", { class: "button quiet copy", type: "button" }, icon("copy"), words);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Select and copy it by hand";
    }
    setTimeout(() => (words.textContent = label), 2_000);
  });
  return button;
}
