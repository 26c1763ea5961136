// @ts-check
/**
 * What this page lets agents do with it: little, and nothing until its person says so.
 *
 * It refuses to tell what people are asked: a question is its asker's alone.
 */

import { element } from "./elements.js";

const KEY = "frontend-router.page-tools";
const NAMESPACE = "inbox";

/** @typedef {import("./frontend-router.js").Router} Router */

/**
 * Put the switch at the end of a container.
 * @param {HTMLElement} container
 * @param {Router} router
 * @param {HTMLElement} themeButton  which a person would press
 */
export function pageTools(container, router, themeButton) {
  const box = /** @type {HTMLInputElement} */ (element("input", { type: "checkbox", role: "switch", id: "page-tools" }));
  const said = element("span", { class: "hint", id: "page-tools-said", role: "status" });
  container.append(
    element("label", { class: "switch" }, box, element("span", {}, "Agents may use this page")),
    said,
  );
  /** @type {import("./frontend-router.js").Tools | null} */
  let tools = null;

  function offer() {
    tools ??= router.offerTools(NAMESPACE, { webmcp: false });
    tools.register({
      name: "status",
      title: "Status of an inbox",
      description: "Says how many questions wait in this inbox, and whether somebody looks at it now",
      annotations: { readOnlyHint: true },
      outputSchema: {
        type: "object",
        properties: { waiting: { type: "integer" }, visible: { type: "boolean" }, theme: { type: "string" } },
        required: ["waiting", "visible", "theme"],
      },
      execute: status,
    });
    tools.register({
      name: "set_theme",
      title: "Light or dark",
      description: "Switches this inbox to light or to dark",
      annotations: { idempotentHint: true },
      inputSchema: {
        type: "object",
        properties: { theme: { enum: ["light", "dark"] } },
        required: ["theme"],
        additionalProperties: false,
      },
      execute({ theme }) {
        if (status().theme !== theme) themeButton.click();
        return `The inbox is ${theme} now.`;
      },
    });
  }

  function status() {
    const chosen = document.documentElement.dataset.theme;
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    return { waiting: router.questions.size, visible: document.visibilityState === "visible", theme: chosen ?? system };
  }

  function apply() {
    if (box.checked) offer();
    else tools?.clear();
  }

  router.on("tools", ({ names }) => {
    said.textContent = names.length ? `They find ${names.join(" and ")}.` : "";
  });
  box.addEventListener("change", () => {
    try {
      sessionStorage.setItem(KEY, box.checked ? "yes" : "");
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
    apply();
  });
  try {
    box.checked = sessionStorage.getItem(KEY) === "yes";
  } catch {
    // As above.
  }
  apply();
}
