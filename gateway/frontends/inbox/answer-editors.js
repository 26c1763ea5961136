// @ts-check
/**
 * The three ways to answer: words, one of the choices, a form.
 *
 * Each editor hands over an answer that may be sent, or null after it has shown
 * what is missing. None of them sends anything.
 */

import { element, keyCap } from "./elements.js";
import { schemaForm } from "./schema-form.js";

/** @typedef {import("./frontend-router.js").Question} Question */
/** @typedef {import("./frontend-router.js").Answer} Answer */

/**
 * @typedef {object} Editor
 * @property {HTMLElement} element
 * @property {boolean} picks                 a press on a choice is the answer: no send button
 * @property {() => Answer | null} answer    null: not ready, and it has been shown why
 * @property {() => string} draft
 * @property {(draft: string) => void} restore
 * @property {() => void} focus
 * @property {(number: number) => boolean} choose   point at the n-th choice
 */

/**
 * @param {Question} question
 * @param {(answer: Answer) => void} onPick
 * @returns {Editor}
 */
export function editorFor(question, onPick) {
  if (question.schema) return formEditor(question.schema);
  return question.choices.length ? choiceEditor(question, onPick) : textEditor();
}

/** @returns {Editor} */
function textEditor() {
  const input = element("textarea", { id: "answer-text", rows: 3, dir: "auto", placeholder: "Type your answer…" });
  const problem = element("p", { class: "problem", id: "answer-text-problem" });
  input.setAttribute("aria-describedby", problem.id);
  input.addEventListener("input", () => (problem.textContent = ""));
  const label = element("label", { class: "visually-hidden", htmlFor: input.id }, "Your answer");
  return {
    element: element("div", { class: "field" }, label, input, problem),
    picks: false,
    answer() {
      if (input.value.trim()) return input.value;
      problem.textContent = "Type an answer first, or decline the question.";
      input.focus();
      return null;
    },
    draft: () => input.value,
    restore(draft) {
      input.value = draft;
    },
    focus() {
      input.focus();
      input.setSelectionRange(input.value.length, input.value.length);
    },
    choose: () => false,
  };
}

/**
 * @param {Question} question
 * @param {(answer: Answer) => void} onPick
 * @returns {Editor}
 */
function choiceEditor(question, onPick) {
  // To reject has a place of its own, with room for a reason.
  const offered = question.choices.filter(({ value }) => !question.approval || value !== "reject");
  const buttons = offered.map((choice, index) =>
    element(
      "button",
      { class: "choice", type: "button", value: choice.value, on: { click: () => onPick(choice.value) } },
      index < 9 && keyCap(String(index + 1)),
      element("span", { class: "choice-label", dir: "auto" }, choice.label || choice.value),
      choice.description && element("span", { class: "choice-description", dir: "auto" }, choice.description),
    ),
  );
  const group = element("div", { class: "choices", role: "group", "aria-label": "Choose an answer" }, ...buttons);
  const chosen = () => buttons.find((button) => button === document.activeElement);
  return {
    element: group,
    picks: true,
    answer: () => chosen()?.value ?? null,
    draft: () => "",
    restore() {},
    focus: () => buttons[0].focus(),
    choose(number) {
      // A number points and Enter answers: a key pressed by mistake, or in the
      // wrong window, must not decide anything.
      buttons[number - 1]?.focus();
      return number <= buttons.length;
    },
  };
}

/**
 * @param {Record<string, any>} schema
 * @returns {Editor}
 */
function formEditor(schema) {
  const form = schemaForm(schema);
  return {
    element: form.element,
    picks: false,
    answer() {
      const content = form.content();
      return content && { content };
    },
    draft: form.draft,
    restore: form.restore,
    focus: form.focus,
    choose: () => false,
  };
}
