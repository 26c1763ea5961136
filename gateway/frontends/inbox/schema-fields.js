// @ts-check
/**
 * A JSON Schema, read as the fields of a form, and the check of what was entered.
 *
 * Touches no element. It knows what people can be asked with labels and
 * inputs; whatever is beyond that becomes one field for JSON, so that every
 * schema can be answered. The gateway checks again: a rule that is not known
 * here is not lost.
 */

/** @typedef {Record<string, any>} Schema */
/** @typedef {{ value: any, label: string }} Option */

/**
 * @typedef {object} Field
 * @property {string} key
 * @property {string} label
 * @property {string} hint
 * @property {boolean} required
 * @property {"text"|"number"|"integer"|"boolean"|"option"|"options"|"list"|"group"|"json"} kind
 * @property {Schema} schema
 * @property {Option[]} options   of "option" and "options"
 * @property {Field[]} fields     of "group"
 * @property {any} initial        the schema's default
 */

// A person fills in a form of a dozen fields; a schema beyond these is a mistake
// or an attack, and is shown as one field for JSON.
const MAX_FIELDS = 100;
const MAX_OPTIONS = 500;
const MAX_DEPTH = 4;
// Patterns come from outside and run in this page, on an engine that may take for ever:
// only those that cannot take long on a short text are tried here.
const MAX_PATTERN = 200;
const MAX_MATCHED = 256;
// One character as a pattern says it, and how often it comes. Nothing else is known here: no
// groups, no alternatives, no references. "^" and "$" are characters of which there are none.
const PART = /(?:\\(?:[dDsSwW]|[^\p{L}\p{N}])|\[(?:\\[^]|[^\\\]])*\]|[^\\[\](){}|*+?])(?:\{\d+\}|([*+?]|\{\d+,\d*\}))?/uy;

/**
 * The whole schema as one group.
 * @param {Schema} schema
 * @returns {Field}
 */
export function readSchema(schema) {
  const budget = { fields: MAX_FIELDS };
  const root = readField("", schema, true, { root: schema, depth: 0, budget });
  if (root.kind === "group" && budget.fields >= 0) return root;
  return { ...root, kind: "json", label: root.label === "Answer" ? "Answer as JSON" : root.label, fields: [] };
}

/**
 * @typedef {object} Place
 * @property {Schema} root
 * @property {number} depth
 * @property {{ fields: number }} budget
 */

/**
 * @param {string} key
 * @param {Schema} given
 * @param {boolean} required
 * @param {Place} place
 * @returns {Field}
 */
function readField(key, given, required, place) {
  const schema = resolve(given, place.root);
  const field = {
    key,
    label: text(schema.title) || inWords(key) || "Answer",
    hint: text(schema.description),
    required,
    schema,
    options: optionsOf(schema),
    fields: /** @type {Field[]} */ ([]),
    initial: schema.default,
  };
  const kind = kindOf(schema, field.options);
  if (kind === "options") field.options = optionsOf(resolve(schema.items, place.root));
  if (kind !== "group") return { ...field, kind };
  const properties = Object.entries(isRecord(schema.properties) ? schema.properties : {});
  place.budget.fields -= properties.length;
  if (place.depth >= MAX_DEPTH || place.budget.fields < 0 || !properties.length) return { ...field, kind: "json" };
  const wanted = new Set(Array.isArray(schema.required) ? schema.required : []);
  const below = { ...place, depth: place.depth + 1 };
  field.fields = properties.map(([name, property]) => readField(name, property, wanted.has(name), below));
  return { ...field, kind };
}

/**
 * @param {Schema} schema
 * @param {Option[]} options
 * @returns {Field["kind"]}
 */
function kindOf(schema, options) {
  if (options.length) return "option";
  const types = [schema.type].flat().filter((type) => type !== "null");
  if (types.length !== 1) return isRecord(schema.properties) && !types.length ? "group" : "json";
  switch (types[0]) {
    case "string":
      return "text";
    case "number":
    case "integer":
    case "boolean":
      return types[0];
    case "object":
      return "group";
    case "array":
      if (optionsOf(isRecord(schema.items) ? schema.items : {}).length) return "options";
      return isRecord(schema.items) && schema.items.type === "string" ? "list" : "json";
    default:
      return "json";
  }
}

/**
 * What can be picked: `enum`, with `enumNames`, or `oneOf`/`anyOf` of constants.
 * @param {Schema} schema
 * @returns {Option[]}
 */
function optionsOf(schema) {
  if (Array.isArray(schema.enum) && schema.enum.length <= MAX_OPTIONS) {
    const names = Array.isArray(schema.enumNames) ? schema.enumNames : [];
    return schema.enum.map((value, index) => ({ value, label: text(names[index]) || labelOf(value) }));
  }
  const branches = schema.oneOf ?? schema.anyOf;
  const constant = Array.isArray(branches) && branches.length && branches.length <= MAX_OPTIONS;
  if (!constant || !branches.every((branch) => isRecord(branch) && "const" in branch)) return [];
  return branches.map((branch) => ({ value: branch.const, label: text(branch.title) || labelOf(branch.const) }));
}

/**
 * Follow a reference inside the same schema; anything else is never fetched.
 * @param {any} schema
 * @param {Schema} root
 * @returns {Schema}
 */
function resolve(schema, root) {
  let seen = 0;
  let found = schema;
  while (isRecord(found) && typeof found.$ref === "string" && seen++ < 8) {
    const { $ref, ...beside } = found;
    if (!$ref.startsWith("#/")) return beside;
    const path = $ref
      .slice(2)
      .split("/")
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const target = path.reduce(
      (/** @type {any} */ at, part) => (isRecord(at) && Object.hasOwn(at, part) ? at[part] : undefined),
      root,
    );
    found = isRecord(target) ? { ...target, ...beside } : beside;
  }
  return isRecord(found) ? found : {};
}

/**
 * What is wrong with a value, as a sentence; "" when nothing is.
 * @param {Field} field
 * @param {any} value  undefined: left empty
 * @returns {string}
 */
export function problemWith(field, value) {
  if (value === undefined) return field.required ? "This is needed." : "";
  switch (field.kind) {
    case "text":
      return problemWithText(field.schema, value);
    case "number":
    case "integer":
      return problemWithNumber(field.schema, value, field.kind === "integer");
    case "options":
    case "list":
      return problemWithLength(field.schema, value);
    default:
      return "";
  }
}

/**
 * @param {Schema} schema
 * @param {string} value
 */
function problemWithText(schema, value) {
  const length = [...value].length;
  if (length < schema.minLength) return `At least ${schema.minLength} characters; this has ${length}.`;
  if (length > schema.maxLength) return `At most ${schema.maxLength} characters; this has ${length}.`;
  const format = FORMATS[schema.format];
  if (format && !format.test(value)) return format.problem;
  if (!matches(schema.pattern, value)) return `This does not look as asked for (${schema.pattern}).`;
  return "";
}

/** @type {Record<string, { test: (value: string) => boolean, problem: string }>} */
const FORMATS = {
  email: {
    test: (value) => /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)*$/.test(value),
    problem: "An e-mail address, like ada@example.com.",
  },
  uri: { test: (value) => URL.canParse(value), problem: "A whole address, like https://example.com." },
  url: { test: (value) => URL.canParse(value), problem: "A whole address, like https://example.com." },
  date: { test: isDate, problem: "A date, like 2026-03-31." },
  time: {
    test: (value) => /^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/i.test(value),
    problem: "A time, like 14:30.",
  },
  "date-time": { test: (value) => !Number.isNaN(Date.parse(value)), problem: "A date and a time." },
};

/** @param {string} value */
function isDate(value) {
  const at = /^\d{4}-\d\d-\d\d$/.test(value) ? new Date(`${value}T00:00:00Z`) : null;
  return at !== null && !Number.isNaN(at.getTime()) && at.toISOString().startsWith(value);
}

/**
 * @param {Schema} schema
 * @param {number} value
 * @param {boolean} whole
 */
function problemWithNumber(schema, value, whole) {
  if (!Number.isFinite(value)) return whole ? "A whole number." : "A number.";
  if (whole && !Number.isInteger(value)) return "A whole number.";
  if (whole && !Number.isSafeInteger(value)) return "This number is too large to be kept exactly.";
  if (value < schema.minimum) return `At least ${schema.minimum}.`;
  if (value > schema.maximum) return `At most ${schema.maximum}.`;
  if (value <= schema.exclusiveMinimum) return `More than ${schema.exclusiveMinimum}.`;
  if (value >= schema.exclusiveMaximum) return `Less than ${schema.exclusiveMaximum}.`;
  if (schema.multipleOf > 0) {
    const steps = value / schema.multipleOf;
    if (Math.abs(steps - Math.round(steps)) > 1e-9 * Math.max(1, Math.abs(steps)))
      return `A multiple of ${schema.multipleOf}.`;
  }
  return "";
}

/**
 * @param {Schema} schema
 * @param {any[]} value
 */
function problemWithLength(schema, value) {
  if (value.length < schema.minItems) return `At least ${schema.minItems}.`;
  if (value.length > schema.maxItems) return `At most ${schema.maxItems}.`;
  if (schema.uniqueItems && new Set(value.map((item) => JSON.stringify(item))).size < value.length)
    return "Each only once.";
  return "";
}

/**
 * Whether a pattern is a row of characters of which hardly any may come more or less often. There
 * are at most 257 ways to divide a text for one of those, and as many places to begin at; with "^"
 * there is one such place, and room for a second one.
 * @param {string} pattern
 */
function isQuick(pattern) {
  const part = new RegExp(PART);
  let varying = 0;
  while (part.lastIndex < pattern.length) {
    const found = part.exec(pattern);
    if (!found) return false;
    if (found[1]) varying += 1;
  }
  return varying <= (pattern.startsWith("^") ? 2 : 1);
}

/**
 * @param {unknown} pattern
 * @param {string} value
 */
function matches(pattern, value) {
  if (typeof pattern !== "string" || pattern.length > MAX_PATTERN || value.length > MAX_MATCHED) return true;
  if (!isQuick(pattern)) return true;
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

/** @param {string} key */
function inWords(key) {
  const words = key
    .replace(/([a-z\d])([A-Z])/g, "$1 $2")
    .replace(/[_-]+/g, " ")
    .trim()
    .toLowerCase();
  return words && words[0].toUpperCase() + words.slice(1);
}

/** @param {unknown} value */
function labelOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
