// @ts-check
/**
 * The inbox page: which questions there are, which one is before the person,
 * and what happens next.
 *
 * This module holds the state and joins the parts; each part draws itself. It
 * refuses to move what a person is looking at: a question that arrives never
 * takes the place of another, and one that is closed elsewhere stays until it
 * has been read.
 */

import { account } from "./account.js";
import { appearance } from "./appearance.js";
import { closingOf } from "./closings.js";
import { connectionBanner } from "./connection-banner.js";
import { askAroundFirst, credential, forgetCredential, keepCredential, keepFromAround } from "./credential.js";
import { draftsAreOf, dropAllDrafts, dropDraft, keepDraft, pruneDrafts, readDraft } from "./drafts.js";
import { count } from "./durations.js";
import { beginning, existing, isTouch } from "./elements.js";
import { embedding } from "./embedding.js";
import { connect } from "./frontend-router.js";
import { history } from "./history.js";
import { identityDialog, knownIdentity } from "./identity.js";
import { notifications, tabBadge } from "./notifications.js";
import { pageTools } from "./page-tools.js";
import { questionCard } from "./question-card.js";
import { questionList } from "./question-list.js";
import { listenForKeys } from "./shortcuts.js";
import { signInPanel } from "./sign-in.js";
import { toasts } from "./toasts.js";
import { gatewayConfig, welcome } from "./welcome.js";

/** @typedef {import("./frontend-router.js").Question} Question */
/** @typedef {import("./frontend-router.js").Closure} Closure */

/**
 * A question as this page keeps it, a little longer than the gateway does.
 * @typedef {object} Entry
 * @property {Question} question
 * @property {string} typed     not sent yet
 * @property {string} said      sent last
 * @property {boolean} opened
 * @property {import("./closings.js").Closing | null} closing
 * @property {number} leavesAt
 */

// Long enough to see what happened, short enough not to be in the way.
const LEAVE_MINE_MS = 900;
const LEAVE_OTHERS_MS = 4_000;
// When a thousand questions end at once, only some are worth a farewell.
const MAX_LEAVING = 100;

/** @type {Map<string, Entry>} */
const entries = new Map();
/** @type {Set<Entry>} */
const leaving = new Set();
/** @type {Entry[]} */
let order = [];
let selectedId = "";
/** @type {ReturnType<typeof questionCard> | null} */
let card = null;
let listIsStale = false;
let drawing = 0;
let arrivals = 0;
/** @type {Question | null} */
let newest = null;
let answeredHere = false;
/** Who the person was when there was a connection last. */
let user = "";
/** @type {"answer" | "title" | null} where the cursor goes with the next card */
let cursor = null;

const panes = existing("panes");
const stage = existing("stage");
const cardPlace = existing("card-place");
const announcer = existing("announcer");

pruneDrafts();
appearance(existing("theme-button"));
const config = await gatewayConfig();
const around = embedding(config.origins, {
  token(token) {
    keepFromAround(token);
    router.signIn(credential);
  },
  signOut,
});
if (around) askAroundFirst(around);
const router = connect({
  url: typeof config.ws_path === "string" ? config.ws_path : "ws",
  ...(config.sign_in ? { token: credential } : knownIdentity()),
});
const list = questionList(existing("waiting"), (id) => open(id));
const banner = connectionBanner(router);
const toast = toasts(existing("toasts"));
const done = history(existing("history"), existing("history-count"));
const greeting = welcome(existing("welcome"), config);
pageTools(existing("welcome"), router, existing("theme-button"));
const badge = tabBadge(existing("favicon"));
const desktop = notifications(existing("notify-button"), (id) => open(id));
const askIdentity = identityDialog(existing("identity"), (identity) =>
  router.introduce({ user: undefined, name: undefined, groups: undefined, ...identity }),
);

const who = account(router, signOut);
const panel = signInPanel({
  paste(pasted) {
    keepCredential(pasted);
    router.signIn(credential);
  },
  forget() {
    forgetCredential();
    router.signIn(credential);
  },
});

// ---- what the gateway says --------------------------------------------------

router.on("state", (change) => {
  banner.changed(change);
  greeting.say(change.state === "open", answeredHere);
  if (change.state === "open") letIn();
  else if (change.state === "waiting") panel.wait(change.reason || "Trying again…");
  else if (change.state === "connecting") panel.wait("Looking whose it is…");
});

router.on("signin", ({ reason }) => {
  forgetCredential();
  who.name("");
  announce("");
  panel.ask(reason, user !== "");
});

router.on("question", (question) => {
  const before = entries.get(question.id);
  if (before) leaving.delete(before);
  const typed = before?.typed || readDraft(question.id);
  entries.set(question.id, { question, typed, said: "", opened: false, closing: null, leavesAt: Infinity });
  arrivals += 1;
  newest = question;
  listIsStale = true;
  desktop.asked(question);
  drawSoon();
});

router.on("updated", (question) => {
  if (card?.entry.question === question) card.update();
  drawSoon();
});

router.on("closed", (question, closure) => {
  const entry = entries.get(question.id);
  if (entry?.question !== question) return;
  desktop.closed(question.id);
  entry.closing = closingOf(question, closure);
  if (closure.mine) remember(entry);
  if (question.lastAck || !entry.typed) dropDraft(question.id);
  const watched = question.id === selectedId;
  if (!watched && leaving.size >= MAX_LEAVING) return void remove(entry);
  leaving.add(entry);
  entry.leavesAt = leaveTime(entry, watched);
  if (closure.mine && watched) setTimeout(sweepLeaving, LEAVE_MINE_MS);
  if (watched) announce(entry.closing.words);
  if (card?.entry === entry) card.update();
  drawSoon();
});

router.on("notice", (notice) => toast(notice));

router.on("fault", (fault) => {
  // Of a credential the panel speaks; an id that is taken is replaced.
  if (fault.requestId || ["unauthenticated", "frontend_id_taken"].includes(fault.code)) return;
  toast({
    id: "",
    title: "The gateway refused a message",
    message: fault.message || fault.code,
    level: "warning",
    from: { subject: "" },
    createdAt: 0,
  });
});

/**
 * A question closed under somebody's hands waits for them.
 * @param {Entry} entry
 * @param {boolean} watched
 */
function leaveTime(entry, watched) {
  if (entry.closing?.mine) return performance.now() + LEAVE_MINE_MS;
  const lost = entry.typed || entry.said;
  return watched && lost ? Infinity : performance.now() + LEAVE_OTHERS_MS;
}

/** @param {Entry} entry */
function remember({ question, said, closing }) {
  answeredHere = true;
  done.add({
    asker: question.from.name || question.from.subject || "Somebody",
    question: question.heading,
    said,
    outcome: question.closure?.reason === "rejected" ? "Declined" : "Answered",
    good: closing?.tone === "good" && question.closure?.reason !== "rejected",
    at: Date.now(),
  });
}

/** @param {Entry} entry */
function remove(entry) {
  leaving.delete(entry);
  entries.delete(entry.question.id);
  listIsStale = true;
  drawSoon();
}

function sweepLeaving() {
  const now = performance.now();
  for (const entry of [...leaving]) if (entry.leavesAt <= now) remove(entry);
}

// ---- who the person is ------------------------------------------------------

function letIn() {
  if (router.user !== user) {
    user = router.user;
    draftsAreOf(user);
    done.belongTo(user);
    startOver();
  }
  who.name(user);
  if (!panel.leave()) return;
  if (card) {
    markOpened(card.entry);
    if (!isTouch()) card.focusTitle();
  } else stage.focus({ preventScroll: true });
}

/** What the one before had in front of them is not the next one's. */
function startOver() {
  for (const entry of [...entries.values()]) remove(entry);
  answeredHere = false;
  draw();
}

/** A fresh page knows nothing of anybody. */
function signOut() {
  forgetCredential();
  router.close();
  dropAllDrafts();
  done.belongTo("");
  location.reload();
}

// ---- what the person does ---------------------------------------------------

/**
 * Put a question before the person.
 * @param {string} id
 */
function open(id) {
  showTab("waiting");
  select(id);
  showScreen("card");
  if (!isTouch()) card?.focusTitle();
}

/** @param {string} id */
function select(id) {
  // Whoever moves on from a question that was closed elsewhere has read it.
  const previous = entries.get(selectedId);
  if (previous?.closing && id !== selectedId) remove(previous);
  selectedId = id;
  draw();
  const index = order.findIndex((entry) => entry.question.id === id);
  if (index >= 0) list.scrollTo(index);
}

/** @param {number} step */
function move(step) {
  const index = order.findIndex((entry) => entry.question.id === selectedId);
  const next = order[Math.min(order.length - 1, Math.max(0, index + step))];
  if (next && next.question.id !== selectedId) select(next.question.id);
  // Where the list has the focus, a screen reader says which row is meant.
  existing("waiting").focus({ preventScroll: true });
}

/**
 * @param {Entry} entry
 * @param {boolean} followed
 */
function makeCard(entry, followed) {
  const { question } = entry;
  return questionCard(
    entry,
    {
      onAnswer(answer) {
        cursor = stage.contains(document.activeElement) ? "answer" : null;
        void question.answer(answer);
      },
      onReject(reason) {
        cursor = stage.contains(document.activeElement) ? "answer" : null;
        void question.reject(reason);
      },
      onType(draft) {
        entry.typed = draft;
        keepDraft(question.id, draft);
        question.draft(draft);
        drawSoon();
      },
      onNext: () => remove(entry),
    },
    followed,
  );
}

// ---- drawing ----------------------------------------------------------------

function drawSoon() {
  // The title counts even where nothing is drawn: in a tab out of sight.
  badge(entries.size - leaving.size);
  drawing ||= requestAnimationFrame(draw);
}

function draw() {
  cancelAnimationFrame(drawing);
  drawing = 0;
  if (listIsStale) order = inOrder([...entries.values()]);
  if (!entries.has(selectedId)) selectedId = successor();
  listIsStale = false;
  drawStage();
  list.show(order, selectedId);
  showCount(entries.size - leaving.size);
  announceArrivals();
}

/** @param {number} open */
function showCount(open) {
  badge(open);
  const counter = existing("waiting-count");
  counter.textContent = open.toLocaleString();
  counter.dataset.count = String(open);
  existing("back-count").textContent = open > 1 ? `All ${open.toLocaleString()} questions` : "All questions";
}

const RANKS = { high: 0, normal: 1, low: 2 };

/** What is urgent first, and what came first before the rest.
 * @param {Entry[]} all */
function inOrder(all) {
  const rank = (/** @type {Entry} */ { question }) => RANKS[question.urgency];
  return all.every((entry) => rank(entry) === RANKS.normal) ? all : all.sort((one, other) => rank(one) - rank(other));
}

/** The question that moves up when the selected one has left. */
function successor() {
  const urgent = order.find(({ question, closing }) => question.urgency === "high" && !closing);
  if (urgent) return urgent.question.id;
  const left = card?.entry;
  const after = left
    ? order.find((entry) => entry.question.createdAt >= left.question.createdAt && !entry.closing)
    : undefined;
  return (after ?? order.find((entry) => !entry.closing) ?? order[0])?.question.id ?? "";
}

function drawStage() {
  const entry = entries.get(selectedId);
  if (card && card.entry === entry) return;
  const followed = Boolean(card?.entry.closing);
  card = entry ? makeCard(entry, followed) : null;
  cardPlace.replaceChildren(...(card ? [card.element] : []));
  existing("welcome").hidden = Boolean(card);
  const wasEmpty = panes.classList.contains("empty");
  panes.classList.toggle("empty", !card);
  if (!entry || !card) {
    greeting.say(router.state === "open", answeredHere);
    panes.dataset.screen = "queue";
    cursor = null;
    return;
  }
  stage.scrollTop = 0;
  // A phone that showed nothing goes to what came; the list is one step back.
  if (wasEmpty) panes.dataset.screen = "card";
  markOpened(entry);
  placeCursor();
}

function placeCursor() {
  if (cursor === "answer" && !isTouch() && !card?.picks) card?.focusAnswer();
  else if (cursor) card?.focusTitle();
  cursor = null;
}

/** Seen is what a person can see: not in a tab out of sight, nor behind the list on a phone.
 * @param {Entry} entry */
function markOpened(entry) {
  if (entry.opened || document.hidden || !stage.checkVisibility()) return;
  entry.opened = true;
  entry.question.seen();
}

/** A phone has room for the list or for the question.
 * @param {"queue" | "card"} screen */
function showScreen(screen) {
  panes.dataset.screen = screen;
  if (card) markOpened(card.entry);
  drawSoon();
}

function announceArrivals() {
  const fresh = arrivals;
  arrivals = 0;
  if (!fresh) return;
  announce(
    fresh === 1 && newest
      ? `${newest.urgency === "high" ? "Urgent" : "New"} question: ${beginning(newest.heading, 140)}`
      : `${count(fresh, "new question")}`,
  );
}

/** @param {string} words */
function announce(words) {
  announcer.textContent = words;
}

/** @param {"waiting" | "history"} name */
function showTab(name) {
  for (const tab of ["waiting", "history"]) {
    const shown = tab === name;
    existing(tab).hidden = !shown;
    existing(`tab-${tab}`).setAttribute("aria-selected", String(shown));
    existing(`tab-${tab}`).tabIndex = shown ? 0 : -1;
  }
  if (name === "history") done.draw();
}

// ---- the page ---------------------------------------------------------------

setInterval(() => {
  sweepLeaving();
  banner.tick();
  if (document.hidden) return;
  list.tick();
  card?.tick();
}, 1_000);

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && card) markOpened(card.entry);
});
window.addEventListener("beforeunload", (event) => {
  if (router.unconfirmed) event.preventDefault();
});
existing("back-button").addEventListener("click", () => showScreen("queue"));
existing("identity-button").addEventListener("click", () => who.open() || config.sign_in || askIdentity());
existing("help-button").addEventListener("click", () => existing("help").showModal());
for (const tab of /** @type {const} */ (["waiting", "history"])) {
  existing(`tab-${tab}`).addEventListener("click", () => showTab(tab));
  existing(`tab-${tab}`).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tab === "waiting" ? "history" : "waiting";
    showTab(other);
    existing(`tab-${other}`).focus();
  });
}

/** Leave the field, the form, the page's depths, one at a time. */
function stepBack() {
  if (card?.stepBack()) return;
  if (stage.contains(document.activeElement)) existing("waiting").focus();
  else showScreen("queue");
}

listenForKeys(
  [
    {
      keys: ["j", "ArrowDown"],
      shown: ["j", "↓"],
      does: "Next question",
      action: (event) => (inScrollable(event) ? false : move(1)),
    },
    {
      keys: ["k", "ArrowUp"],
      shown: ["k", "↑"],
      does: "Question before",
      action: (event) => (inScrollable(event) ? false : move(-1)),
    },
    {
      keys: [..."123456789"],
      shown: ["1", "…", "9"],
      does: "Point at a choice; Enter answers with it",
      action: (event) => card?.choose(Number(event.key)) ?? false,
    },
    {
      keys: ["Enter", "a"],
      shown: ["↵", "a"],
      does: "Go to the answer",
      action: (event) => (event.key === "Enter" && onControl(event.target) ? false : focusAnswer()),
    },
    {
      keys: ["Enter"],
      shown: ["Mod", "↵"],
      does: "Send the answer",
      mod: true,
      whileTyping: true,
      action: () => (card ? card.submit() : false),
    },
    { keys: ["x"], shown: ["x"], does: "Decline the question", action: () => (card ? card.startRejecting() : false) },
    { keys: ["Escape"], shown: ["Esc"], does: "Step back", whileTyping: true, action: stepBack },
    {
      keys: ["h"],
      shown: ["h"],
      does: "Waiting or done",
      action: () => showTab(existing("history").hidden ? "history" : "waiting"),
    },
    { keys: ["t"], shown: ["t"], does: "Light or dark", action: () => existing("theme-button").click() },
    { keys: ["?"], shown: ["?"], does: "This help", action: () => existing("help").showModal() },
  ],
  existing("help-keys"),
  existing("single-keys"),
);

function focusAnswer() {
  showScreen("card");
  card?.focusAnswer();
}

/** @param {EventTarget | null} target */
function onControl(target) {
  return target instanceof Element && target.closest("button, a, summary, [role=tab]") !== null;
}

/** The arrows scroll a text that is longer than its box.
 * @param {KeyboardEvent} event */
function inScrollable(event) {
  return (
    event.key.startsWith("Arrow") &&
    event.target instanceof Element &&
    event.target.closest("pre, .scrolled, .history, [role=tab]") !== null
  );
}

draw();
