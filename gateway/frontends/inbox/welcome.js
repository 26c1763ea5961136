// @ts-check
/**
 * What the page shows when nothing waits: that all is well, and how to point an
 * agent at this gateway.
 */

import { copyButton } from "./question-card.js";
import { element, icon } from "./elements.js";

/**
 * What the gateway says about itself at `/config.json`; every field may be absent.
 * @typedef {{ mcp_url?: string, ws_path?: string, version?: string, sign_in?: boolean, origins?: string[] }} Config
 */

// The page waits for this before it connects.
const PATIENCE_MS = 10_000;

/** @returns {Promise<Config>} */
export async function gatewayConfig() {
  try {
    const response = await fetch("config.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    const config = response.ok ? await response.json() : null;
    return typeof config === "object" && config !== null ? config : {};
  } catch {
    return {}; // Not every gateway tells; the defaults are good guesses.
  }
}

/**
 * @param {HTMLElement} container
 * @param {Config} config
 */
export function welcome(container, config) {
  const url =
    typeof config.mcp_url === "string" ? config.mcp_url : `${location.protocol}//${location.hostname}:8081/mcp`;
  const title = element("h2", {});
  const words = element("p", { class: "welcome-words" });
  const Authorization = "Bearer AN_API_KEY_WITH_SCOPE_ASK";
  const header = config.sign_in ? ` --header "Authorization: ${Authorization}"` : "";
  const server = { type: "http", url, ...(config.sign_in ? { headers: { Authorization } } : {}) };
  const ways = [
    { name: "Claude Code", text: `claude mcp add --transport http frontend-router ${url}${header}` },
    { name: "Cursor and many others", text: JSON.stringify({ mcpServers: { "frontend-router": server } }, null, 2) },
    { name: "VS Code", text: JSON.stringify({ servers: { "frontend-router": server } }, null, 2) },
    { name: "A terminal", text: 'frontend-router ask "Ship it?" --choice yes --choice no' },
  ];
  const instructions = element(
    "details",
    { class: "connect-agent", open: true },
    element("summary", {}, "Point an agent at this gateway"),
    element("p", { class: "hint" }, "It speaks MCP over streamable HTTP at"),
    snippet(url),
    ...ways.map((way) => element("details", { class: "way" }, element("summary", {}, way.name), snippet(way.text))),
    element(
      "p",
      { class: "hint" },
      "Then let it call the tool ",
      element("code", {}, "ask_user"),
      ". Its question appears here, and your answer goes back to it.",
    ),
  );
  container.replaceChildren(
    element("div", { class: "welcome-picture" }, icon("tray")),
    title,
    words,
    instructions,
    config.version ? element("p", { class: "version" }, `frontend-router ${config.version}`) : "",
  );

  let answeredBefore = false;
  return {
    /**
     * @param {boolean} connected
     * @param {boolean} busyBefore  something was answered in this tab
     */
    say(connected, busyBefore) {
      title.textContent = connected
        ? busyBefore
          ? "All answered"
          : "Nothing waits for you"
        : "Reaching for the gateway…";
      // Whoever has answered knows how agents come here.
      if (busyBefore && !answeredBefore) instructions.open = false;
      answeredBefore = busyBefore;
      words.textContent = connected
        ? "Leave this page open: a question appears here the moment an agent asks."
        : "Questions appear here as soon as the connection is there.";
    },
  };
}

/** @param {string} text */
function snippet(text) {
  return element("div", { class: "snippet" }, element("pre", { tabIndex: 0 }, text), copyButton(text, "Copy"));
}
