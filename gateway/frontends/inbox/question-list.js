// @ts-check
/**
 * The list of questions, of which only the part in view exists.
 *
 * Rows have one height, so ten thousand questions cost the same as a screenful.
 * It knows nothing of the connection: it is shown entries and says which one
 * was picked.
 */

import { avatar, beginning, element, icon } from "./elements.js";
import { timeLeft, timeLeftInWords, urgency } from "./durations.js";

/** @typedef {import("./inbox.js").Entry} Entry */

const ROW_REM = 5;
// Rows kept ready above and below the part in view.
const SPARE_ROWS = 6;

/**
 * @param {HTMLElement} container
 * @param {(id: string) => void} onPick
 */
export function questionList(container, onPick) {
  const rowHeight = ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const space = element("div", { class: "list-space", role: "presentation" });
  container.append(space);
  container.style.setProperty("--row-height", `${rowHeight}px`);
  /** @type {Map<string, ReturnType<typeof row>>} */
  const rows = new Map();
  /** @type {Entry[]} */
  let entries = [];
  let selectedId = "";
  let drawing = 0;

  function draw() {
    drawing = 0;
    const first = Math.max(0, Math.floor(container.scrollTop / rowHeight) - SPARE_ROWS);
    const last = Math.min(
      entries.length,
      Math.ceil((container.scrollTop + container.clientHeight) / rowHeight) + SPARE_ROWS,
    );
    const visible = new Set();
    for (let index = first; index < last; index += 1) {
      const entry = entries[index];
      visible.add(entry.question.id);
      let drawn = rows.get(entry.question.id);
      if (drawn?.entry !== entry) {
        drawn?.element.remove();
        drawn = row(entry);
        rows.set(entry.question.id, drawn);
        space.append(drawn.element);
      }
      drawn.place(index, entries.length, entry.question.id === selectedId);
    }
    for (const [id, drawn] of rows) {
      if (visible.has(id)) continue;
      drawn.element.remove();
      rows.delete(id);
    }
    const active = rows.get(selectedId);
    if (active) container.setAttribute("aria-activedescendant", active.element.id);
    else container.removeAttribute("aria-activedescendant");
  }

  function drawSoon() {
    drawing ||= requestAnimationFrame(draw);
  }

  container.addEventListener("scroll", drawSoon, { passive: true });
  new ResizeObserver(drawSoon).observe(container);
  space.addEventListener("click", (event) => {
    const id = /** @type {Element} */ (event.target).closest("[data-id]")?.getAttribute("data-id");
    if (id) onPick(id);
  });

  return {
    /**
     * @param {Entry[]} nextEntries
     * @param {string} nextSelectedId
     */
    show(nextEntries, nextSelectedId) {
      entries = nextEntries;
      selectedId = nextSelectedId;
      space.style.height = `${entries.length * rowHeight}px`;
      draw();
    },
    /** Bring the clocks in view up to date. */
    tick() {
      for (const drawn of rows.values()) drawn.tick();
    },
    /** @param {number} index */
    scrollTo(index) {
      const top = index * rowHeight;
      const bottom = top + rowHeight - container.clientHeight;
      if (container.scrollTop > top) container.scrollTop = top;
      else if (container.scrollTop < bottom) container.scrollTop = bottom;
    },
  };
}

let lastRow = 0;

/**
 * @param {Entry} entry
 */
function row(entry) {
  const { question } = entry;
  const asker = question.from.name || question.from.subject || "Somebody";
  const clock = element("span", { class: "row-clock" });
  const note = element("span", { class: "row-note" });
  const made = element(
    "div",
    { class: "row", role: "option", id: `row-${++lastRow}`, "data-id": question.id, "data-urgency": question.urgency },
    avatar(asker),
    element("span", { class: "row-asker" }, beginning(asker, 80)),
    clock,
    element("span", { class: "row-text", dir: "auto" }, beginning(question.heading, 200)),
    note,
  );

  function tick() {
    const { remaining } = question;
    const words = entry.closing ? "" : timeLeft(remaining);
    if (clock.textContent === words) return;
    clock.textContent = words;
    clock.dataset.urgency = urgency(remaining);
    clock.setAttribute("aria-label", entry.closing ? "" : timeLeftInWords(remaining));
  }

  return {
    element: made,
    entry,
    tick,
    /**
     * @param {number} index
     * @param {number} size
     * @param {boolean} selected
     */
    place(index, size, selected) {
      made.style.transform = `translateY(calc(${index} * var(--row-height)))`;
      made.setAttribute("aria-posinset", String(index + 1));
      made.setAttribute("aria-setsize", String(size));
      made.setAttribute("aria-selected", String(selected));
      made.classList.toggle("leaving", Boolean(entry.closing));
      made.classList.toggle("unread", !entry.opened && !entry.closing);
      const [name, words] = noteOn(entry);
      if (note.textContent !== words) note.replaceChildren(...(name ? [icon(name)] : []), words);
      tick();
    },
  };
}

/**
 * The one thing worth knowing about a question before opening it.
 * @param {Entry} entry
 * @returns {[string, string]}
 */
function noteOn(entry) {
  if (entry.closing) return [entry.closing.tone === "good" ? "check" : "people", entry.closing.words];
  if (entry.question.phase === "unsent") return ["clock", "Waits for the connection"];
  if (entry.question.phase === "sending") return ["", "Sending…"];
  if (!entry.typed && entry.question.urgency === "high") return ["warning", "Urgent"];
  return entry.typed ? ["", "Draft"] : ["", ""];
}
