// @ts-check
/**
 * A form for a JSON Schema: labels, inputs and what is wrong with them.
 *
 * It draws what `schema-fields.js` read and returns an object that passed its
 * check, or nothing and the cursor in the first wrong field.
 */

import { element } from "./elements.js";
import { problemWith, readSchema } from "./schema-fields.js";

/** @typedef {import("./schema-fields.js").Field} Field */

/**
 * One field as drawn. `raw` is what the person entered, fit for a draft.
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {() => any} read             undefined when left empty
 * @property {() => any} raw
 * @property {(raw: any) => void} restore
 * @property {() => void} focus
 * @property {() => Control | null} firstWrong   shows what is wrong, and where first
 */

// More options than these are a list to open, not a row of buttons.
const MAX_RADIOS = 6;

let lastId = 0;

/**
 * @param {Record<string, any>} schema
 */
export function schemaForm(schema) {
  const root = readSchema(schema);
  const control = root.kind === "group" ? groupControl(root) : valueControl(root);
  control.element.classList.add("form-root");
  return {
    element: control.element,
    focus: control.focus,
    /** What was entered, when it is right. @returns {Record<string, any> | null} */
    content() {
      const wrong = control.firstWrong();
      wrong?.focus();
      return wrong ? null : (control.read() ?? {});
    },
    draft: () => JSON.stringify(control.raw()),
    /** @param {string} draft */
    restore(draft) {
      try {
        control.restore(JSON.parse(draft));
      } catch {
        // A draft from elsewhere that is no form's: the form stays empty.
      }
    },
  };
}

/**
 * @param {Field} field
 * @returns {Control}
 */
function controlFor(field) {
  return field.kind === "group" ? groupControl(field) : valueControl(field);
}

/**
 * @param {Field} group
 * @returns {Control}
 */
function groupControl(group) {
  const controls = group.fields.map((field) => ({ key: field.key, control: controlFor(field) }));
  const legend = group.key && element("legend", {}, group.label);
  const hint = group.hint && element("p", { class: "hint" }, group.hint);
  const collect = (/** @type {(control: Control) => any} */ take) =>
    Object.fromEntries(
      controls.map(({ key, control }) => [key, take(control)]).filter(([, value]) => value !== undefined),
    );
  const raw = () => collect((control) => control.raw());
  const untouched = JSON.stringify(raw());
  // A group that may be absent, and that nobody touched, asks for nothing.
  const isAbsent = () => !group.required && JSON.stringify(raw()) === untouched;
  return {
    element: element("fieldset", { class: "group" }, legend, hint, ...controls.map(({ control }) => control.element)),
    read: () => (isAbsent() ? undefined : collect((control) => control.read())),
    raw,
    restore(raw) {
      for (const { key, control } of controls) if (raw?.[key] !== undefined) control.restore(raw[key]);
    },
    focus: () => controls[0]?.control.focus(),
    firstWrong() {
      if (isAbsent()) return null;
      return controls.map(({ control }) => control.firstWrong()).find((wrong) => wrong) ?? null;
    },
  };
}

/**
 * The part of a control that knows its inputs; the frame around it is common.
 * @typedef {object} Inputs
 * @property {HTMLElement} element
 * @property {HTMLElement[]} labelled   what a problem is attached to
 * @property {() => any} read
 * @property {() => any} raw
 * @property {(raw: any) => void} restore
 * @property {boolean} [grouped]        several inputs under one legend
 */

/**
 * @param {Field} field
 * @returns {Control}
 */
function valueControl(field) {
  const id = `field-${++lastId}`;
  const inputs = inputsFor(field, id);
  const problem = element("p", { class: "problem", id: `${id}-problem` });
  const hint = field.hint && element("p", { class: "hint", id: `${id}-hint` }, field.hint);
  const described = [`${id}-problem`, ...(hint ? [`${id}-hint`] : [])].join(" ");
  for (const input of inputs.labelled) input.setAttribute("aria-describedby", described);
  const marker = !field.required && field.kind !== "boolean" && element("span", { class: "optional" }, " optional");
  const frame = frameFor(field, id, inputs, [hint, problem], marker);
  /** @type {Control} */
  const control = {
    element: frame,
    read: inputs.read,
    raw: inputs.raw,
    restore: inputs.restore,
    focus: () => inputs.labelled[0]?.focus(),
    firstWrong() {
      const value = inputs.read();
      const sentence = problemWith(field, value) || (value instanceof SyntaxError ? "This is not JSON." : "");
      problem.textContent = sentence;
      for (const input of inputs.labelled) input.setAttribute("aria-invalid", String(Boolean(sentence)));
      return sentence ? control : null;
    },
  };
  // A field that was wrong says at once when it is right.
  frame.addEventListener("input", () => problem.textContent && control.firstWrong());
  return control;
}

/**
 * @param {Field} field
 * @param {string} id
 * @param {Inputs} inputs
 * @param {(Node | "" | false)[]} notes
 * @param {Node | false} marker
 */
function frameFor(field, id, inputs, notes, marker) {
  const after = notes.filter((note) => note);
  if (inputs.grouped) {
    return element(
      "fieldset",
      { class: "field" },
      element("legend", {}, field.label, marker),
      inputs.element,
      .../** @type {Node[]} */ (after),
    );
  }
  if (field.kind === "boolean") {
    const label = element("label", { class: "switch" }, inputs.element, element("span", {}, field.label));
    return element("div", { class: "field" }, label, .../** @type {Node[]} */ (after));
  }
  const label = element("label", { htmlFor: id }, field.label, marker);
  return element("div", { class: "field" }, label, inputs.element, .../** @type {Node[]} */ (after));
}

/**
 * @param {Field} field
 * @param {string} id
 * @returns {Inputs}
 */
function inputsFor(field, id) {
  switch (field.kind) {
    case "boolean":
      return switchInput(field, id);
    case "number":
    case "integer":
      return numberInput(field, id);
    case "option":
      return field.options.length <= MAX_RADIOS ? choiceInputs(field, id, "radio") : selectInput(field, id);
    case "options":
      return choiceInputs(field, id, "checkbox");
    case "list":
      return listInput(field, id);
    case "text":
      return textInput(field, id);
    default:
      return jsonInput(field, id);
  }
}

/**
 * @param {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} input
 * @param {(text: string) => any} parse
 * @param {any} initial  as text
 * @returns {Inputs}
 */
function textual(input, parse, initial) {
  if (initial !== undefined) input.value = initial;
  return {
    element: input,
    labelled: [input],
    read: () => (input.value.trim() === "" && !isBad(input) ? undefined : parse(input.value)),
    raw: () => input.value,
    restore: (raw) => void (typeof raw === "string" && (input.value = raw)),
  };
}

/** A browser gives "" for a number field that holds no number.
 * @param {HTMLElement} input */
function isBad(input) {
  return input instanceof HTMLInputElement && input.validity.badInput;
}

/** @type {Record<string, { type: string, autocomplete?: string }>} */
const INPUTS = {
  email: { type: "email", autocomplete: "email" },
  uri: { type: "url" },
  url: { type: "url" },
  date: { type: "date" },
  time: { type: "time" },
  "date-time": { type: "datetime-local" },
  password: { type: "password", autocomplete: "off" },
};

/**
 * @param {Field} field
 * @param {string} id
 */
function textInput(field, id) {
  const { format, maxLength, pattern, examples } = field.schema;
  const placeholder = Array.isArray(examples) && typeof examples[0] === "string" ? examples[0] : "";
  const initial = typeof field.initial === "string" ? field.initial : undefined;
  const known = Object.hasOwn(INPUTS, format ?? "") ? INPUTS[format] : undefined;
  if (!known && !pattern && !(maxLength <= 120)) {
    return textual(
      element("textarea", { id, rows: 1, placeholder, required: field.required }),
      (text) => text,
      initial,
    );
  }
  const input = element("input", { id, type: "text", placeholder, required: field.required, ...known });
  if (format === "date-time") return textual(input, momentOf, localMoment(initial));
  if (format === "time") return textual(input, timeOf, initial?.slice(0, 5));
  return textual(input, (text) => text.trim(), initial);
}

/** What a schema means by "date-time" names its offset; the input does not.
 * @param {string} local */
function momentOf(local) {
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? local : at.toISOString();
}

/** @param {string | undefined} text */
function localMoment(text) {
  const at = new Date(text ?? "");
  if (Number.isNaN(at.getTime())) return undefined;
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** @param {string} local */
function timeOf(local) {
  const minutes = -new Date().getTimezoneOffset();
  const part = (/** @type {number} */ value) => String(Math.floor(Math.abs(value))).padStart(2, "0");
  const offset = minutes === 0 ? "Z" : `${minutes < 0 ? "-" : "+"}${part(minutes / 60)}:${part(minutes % 60)}`;
  return `${local.length === 5 ? `${local}:00` : local}${offset}`;
}

/**
 * @param {Field} field
 * @param {string} id
 */
function numberInput(field, id) {
  const { minimum, maximum, multipleOf } = field.schema;
  const step = multipleOf ?? (field.kind === "integer" ? 1 : "any");
  const inputMode = field.kind === "integer" && minimum >= 0 ? "numeric" : "decimal";
  const input = element("input", {
    id,
    type: "number",
    min: minimum,
    max: maximum,
    step,
    inputMode,
    required: field.required,
  });
  return textual(
    input,
    (text) => (text === "" ? NaN : Number(text)),
    typeof field.initial === "number" ? String(field.initial) : undefined,
  );
}

/**
 * @param {Field} field
 * @param {string} id
 * @returns {Inputs}
 */
function switchInput(field, id) {
  const input = element("input", { id, type: "checkbox", role: "switch", checked: field.initial === true });
  return {
    element: input,
    labelled: [input],
    read: () => input.checked,
    raw: () => input.checked,
    restore: (raw) => void (input.checked = raw === true),
  };
}

/**
 * @param {Field} field
 * @param {string} id
 */
function selectInput(field, id) {
  const initial = field.options.findIndex((option) => same(option.value, field.initial));
  const select = element(
    "select",
    { id, required: field.required },
    element("option", { value: "" }, field.required ? "Choose…" : "No answer"),
    ...field.options.map((option, index) => element("option", { value: String(index) }, option.label)),
  );
  return textual(select, (text) => field.options[Number(text)]?.value, initial < 0 ? undefined : String(initial));
}

/**
 * Radio buttons for one option, check boxes for several.
 * @param {Field} field
 * @param {string} id
 * @param {"radio" | "checkbox"} type
 * @returns {Inputs}
 */
function choiceInputs(field, id, type) {
  const single = type === "radio";
  const chosen = single ? [field.initial] : [field.initial ?? []].flat();
  const inputs = field.options.map((option, index) =>
    element("input", {
      type,
      name: id,
      value: String(index),
      checked: chosen.some((value) => same(value, option.value)),
    }),
  );
  const labels = inputs.map((input, index) =>
    element("label", { class: "pick" }, input, element("span", {}, field.options[index].label)),
  );
  if (single && !field.required) {
    labels.push(
      element(
        "label",
        { class: "pick" },
        element("input", { type, name: id, value: "" }),
        element("span", {}, "No answer"),
      ),
    );
  }
  const picked = () => inputs.flatMap((input, index) => (input.checked ? [field.options[index].value] : []));
  return {
    element: element("div", { class: "picks" }, ...labels),
    labelled: inputs,
    grouped: true,
    read() {
      if (single) return picked()[0];
      // Nothing ticked is an empty list where one is asked for, or else no answer.
      return picked().length || (field.required && !(field.schema.minItems > 0)) ? picked() : undefined;
    },
    raw: () => inputs.flatMap((input, index) => (input.checked ? [index] : [])),
    restore(raw) {
      if (Array.isArray(raw)) inputs.forEach((input, index) => (input.checked = raw.includes(index)));
    },
  };
}

/**
 * @param {Field} field
 * @param {string} id
 */
function listInput(field, id) {
  const input = element("textarea", { id, rows: 2, placeholder: "One on each line", required: field.required });
  const parse = (/** @type {string} */ text) =>
    text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  return textual(input, parse, Array.isArray(field.initial) ? field.initial.join("\n") : undefined);
}

/**
 * @param {Field} field
 * @param {string} id
 */
function jsonInput(field, id) {
  const input = element("textarea", { id, rows: 3, class: "code", placeholder: "{ }", required: field.required });
  const parse = (/** @type {string} */ text) => {
    try {
      return JSON.parse(text);
    } catch (error) {
      return error;
    }
  };
  return textual(input, parse, field.initial === undefined ? undefined : JSON.stringify(field.initial, null, 2));
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
