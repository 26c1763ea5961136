// @ts-check
/**
 * A web page's line to the gateway: questions come in, answers go out, and a
 * lost connection is the gateway's problem and not the page's.
 *
 *     import { connect } from "./frontend-router.js";
 *
 *     const router = connect({ url: "wss://gateway.example/ws", name: "Support desk" });
 *     router.on("question", async (question) => {
 *       const ack = await question.answer(prompt(question.text) ?? "");
 *       console.log(ack.status); // "accepted", "duplicate", "too_late", ...
 *     });
 *
 * A page has tools for agents, too: `connect({ tools: "shop" })` offers what it registers
 * with WebMCP (`navigator.modelContext.registerTool`), and nothing else of it.
 *
 * Where the gateway wants to know who somebody is, `token` or `ticket` says so,
 * and `signin` is heard when neither can: then the person has to sign in.
 *
 * One file without dependencies, usable from any page whose origin the gateway
 * allows. It keeps a token in memory and shows it to the gateway alone, in a
 * header: never in a URL, in storage, or in a log. It refuses to draw anything, to invent an answer, to reconnect after
 * a close code that says not to, and to forget an answer it was given: what is
 * answered while the connection is down goes out when it is back.
 */

/** How a connection stands: trying, talking, pausing before the next try, or over.
 * @typedef {"connecting" | "open" | "waiting" | "closed"} ConnectionState */

/** @typedef {{ value: string, label?: string, description?: string }} Choice */
/** @typedef {{ subject: string, name?: string }} Asker */
/** What would run; `arguments` is JSON for people, all of it. `digest` names tool and arguments.
 * @typedef {{ tool: string, arguments: string, digest: string, reason: string }} Approval */
/** @typedef {{ frontend_id: string, user?: string }} Settler */
/** @typedef {{ message_bytes: number, answer_bytes: number, draft_bytes: number }} Limits */

/** What to say to a question: text, or the object its schema asks for.
 * @typedef {string | { content: Record<string, unknown>, answer?: string }} Answer */

/**
 * What became of an answer or a refusal. The first five come from the gateway;
 * "unacknowledged": sent repeatedly, never confirmed; "unsent": the router was
 * closed before it was confirmed, or another answer from here had gone out before
 * and came to nothing; "assumed": sent to a gateway that never says.
 * @typedef {object} Ack
 * @property {"accepted"|"duplicate"|"too_late"|"invalid"|"unknown"|"unacknowledged"|"unsent"|"assumed"} status
 * @property {string} [message]  a sentence for people
 * @property {string} [state]    the question's state at the gateway
 * @property {Settler} [by]      who was first, when a frontend was
 */

/**
 * Why a question is no longer open here. "gone": it was closed, or moved, while
 * the connection was down; "unknown": the gateway does not know it.
 * @typedef {object} Closure
 * @property {"answered"|"timed_out"|"cancelled"|"rejected"|"reassigned"|"gone"|"unknown"} reason
 * @property {Settler} [by]
 * @property {string} [message]  a sentence for people
 * @property {boolean} mine  settled by this very router
 */

/** @typedef {{ id: string, title: string, message: string, level: "info"|"success"|"warning"|"error", from: Asker, createdAt: number }} Notice */
/** `needsSignIn`: it is over until `signIn` or `reconnect` is called.
 * @typedef {{ state: ConnectionState, retryAt?: number, code?: number, reason?: string, terminal?: boolean, needsSignIn?: boolean }} StateChange */
/** Why no credential is good: `reason` is a sentence for people, empty when there was none to show. 3503: it is
 * good, and may not answer.
 * @typedef {{ reason: string, code: 3000 | 3503 }} Demand */
/** @typedef {{ code: string, message: string, retryable: boolean, requestId?: string }} Fault */

/** What a tool is given besides its arguments. `signal` is aborted when nobody waits any more.
 * @typedef {object} ToolAgent
 * @property {string} callId  the same for every attempt at one call
 * @property {Asker} from     who calls
 * @property {AbortSignal} signal
 * @property {(done: number, total?: number, message?: string) => void} progress
 * @property {<T>(ask: () => T | Promise<T>) => Promise<T>} requestUserInteraction */

/** A tool as WebMCP has it, and a little more. `execute` returns text, an object, or MCP's `{ content: [...] }`;
 * what it throws is told to the agent. `resume` goes on with a call during which the page was reloaded.
 * @typedef {object} Tool
 * @property {string} name
 * @property {string} description
 * @property {string} [title]
 * @property {Record<string, unknown>} [inputSchema]
 * @property {Record<string, unknown>} [outputSchema]
 * @property {{ readOnlyHint?: boolean, idempotentHint?: boolean, destructiveHint?: boolean, openWorldHint?: boolean, title?: string }} [annotations]
 * @property {(input: any, agent: ToolAgent) => unknown} execute
 * @property {(input: any, agent: ToolAgent) => unknown} [resume] */

/** Which tools agents are offered now, by their whole names, and why others are not.
 * @typedef {{ names: string[], refused: { name: string, message: string }[] }} ToolsOffered */

/**
 * @typedef {object} Events
 * @property {(change: StateChange) => void} state       the connection changed
 * @property {(question: Question) => void} question     a question to answer
 * @property {(question: Question) => void} updated      a known question changed
 * @property {(question: Question, closure: Closure) => void} closed   it left `questions`
 * @property {(notice: Notice) => void} notice           an agent has something to say
 * @property {(fault: Fault) => void} fault              the gateway refused a message
 * @property {(offered: ToolsOffered) => void} tools     what of the page's tools agents are offered
 * @property {(demand: Demand) => void} signin           the person has to sign in (again)
 */

/**
 * An API key or an access token, or a function that returns one. It is asked again when
 * the gateway refused what it returned last (`refused`), and may take as long as a person
 * needs; an empty text says that nobody is signed in.
 * @typedef {string | ((asked: { refused: boolean }) => string | null | undefined | Promise<string | null | undefined>)} Token */

/**
 * @typedef {object} Options
 * @property {string | URL} [url]   where the gateway's socket is; `/ws` beside the page when absent
 * @property {string} [frontendId]  kept per tab when absent
 * @property {string} [user]
 * @property {string} [name]        what to call this frontend
 * @property {string[]} [groups]
 * @property {string} [tools]       offer the page's tools to agents, in this namespace; see `offerTools`
 * @property {Token} [token]        who the person is; tickets are made with it
 * @property {() => string | null | undefined | Promise<string | null | undefined>} [ticket]
 *   instead of `token`: returns a ticket that the app's own backend got, a new one each time
 */

// Delays: base and cap as in Centrifugo's clients; an open connection has to
// last before the delay starts over, or a gateway that accepts and closes at
// once would be hammered.
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 20_000;
const STABLE_MS = 5_000;
const CONNECT_TIMEOUT_MS = 10_000;
const ACK_TIMEOUT_MS = 10_000;
const MAX_SENDS = 4;
// Credentials refused in a row before a person is asked: one may just have ended.
const MAX_REFUSALS = 2;
const SUBPROTOCOL = "frontend-router.v1";
const ZSTD = "frontend-router.v1.zstd";
const TICKET = "frontend-router.ticket.";
// The gateway's close codes for a credential that is not good, and for one that may not answer.
const UNAUTHENTICATED = 3000;
const FORBIDDEN = 3503;
const DRAFT_PAUSE_MS = 400;
// After a reconnect every open question is offered again; one that has not
// come when the offers have paused this long is no longer open.
const REOFFER_PAUSE_MS = 1_500;
// A question whose end the gateway has not told us leaves by itself: at once
// when nobody can tell us, after a while when somebody should have.
const OVERDUE_MS = 30_000;
const SWEEP_MS = 1_000;
// A clock that stood still this long means that the machine slept, and that
// the gateway has given us up. Beyond the minute for which browsers hold back
// the timers of pages out of sight.
const SLEPT_MS = 120_000;
// More than a gateway keeps pending for one tenant; what is beyond is offered
// again after the next connect.
const MAX_QUESTIONS = 50_000;

/** @type {Limits} */
const DEFAULT_LIMITS = { message_bytes: 1 << 20, answer_bytes: 1 << 18, draft_bytes: 1 << 16 };
const ACK_STATUSES = new Set(["accepted", "duplicate", "too_late", "invalid", "unknown"]);
const REASONS = new Set(["answered", "timed_out", "cancelled", "rejected", "reassigned"]);
const LEVELS = new Set(["info", "success", "warning", "error"]);

/**
 * Hold a connection to the gateway until `close()`.
 * @param {Options} [options]
 * @returns {Router}
 */
export function connect(options = {}) {
  return new Router(options);
}

/**
 * Whether a close code means "come back". The gateway's own are documented
 * with the protocol; of the standard ones only those that blame us are final.
 * @param {number} code
 */
export function mayReconnect(code) {
  if (code >= 3000) return code % 1000 < 500;
  return ![1002, 1003, 1007, 1008, 1009, 1010].includes(code);
}

/** One question, as long as it is open here. */
export class Question {
  /** @type {Router} */ #router;

  /**
   * @param {Router} router
   * @param {Record<string, unknown>} frame
   */
  constructor(router, frame) {
    this.#router = router;
    this.id = String(frame.request_id);
    /** `open`: waits for the person; `unsent`: answered, no connection; `sending`: gone out and not
     * confirmed yet, whether or not that connection still stands: it can be changed no more.
     * @type {"open" | "unsent" | "sending" | "closed"} */
    this.phase = "open";
    /** What the gateway last said to an answer. @type {Ack | null} */
    this.lastAck = null;
    /** @type {Closure | null} */
    this.closure = null;
    this.text = "";
    /** @type {Asker} */
    this.from = { subject: "" };
    this.createdAt = NaN;
    /** When it ends, in the gateway's time; Infinity when the gateway does not say. */
    this.deadline = Infinity;
    this.delivery = "all";
    /** @type {Choice[]} */
    this.choices = [];
    /** @type {Record<string, unknown> | null} */
    this.schema = null;
    /** Markdown; where it is shown, nothing in it may become markup or be loaded. */
    this.context = "";
    /** What to call it in a list, where `text` has more than that. */
    this.heading = "";
    /** What somebody is asked to let run. @type {Approval | null} */
    this.approval = null;
    /** @type {"low" | "normal" | "high"} */
    this.urgency = "normal";
    /** What somebody had typed when the question was offered. */
    this.draftText = "";
    this.accept(frame);
  }

  /**
   * Take what an offer says. A field of the wrong kind counts as absent.
   * @param {Record<string, unknown>} frame
   */
  accept(frame) {
    this.text = text(frame.question);
    this.from = asker(frame.from);
    this.createdAt = moment(frame.created_at, this.#router.now());
    this.deadline = moment(frame.deadline, Infinity);
    this.delivery = frame.delivery === "one" ? "one" : "all";
    this.choices = choices(frame.choices);
    this.schema = record(frame.schema);
    this.context = text(frame.context);
    this.heading = text(frame.heading) || this.text;
    this.approval = approval(frame.approval);
    this.urgency = frame.urgency === "low" || frame.urgency === "high" ? frame.urgency : "normal";
    this.draftText = text(frame.draft);
  }

  /** Milliseconds until the deadline, by the gateway's clock. */
  get remaining() {
    return this.deadline - this.#router.now();
  }

  /** @param {Answer} answer */
  answer(answer) {
    return this.#router.answer(this.id, answer);
  }

  /** @param {string} [reason] */
  reject(reason) {
    return this.#router.reject(this.id, reason);
  }

  /** @param {string} draft */
  draft(draft) {
    this.#router.draft(this.id, draft);
  }

  seen() {
    this.#router.seen(this.id);
  }
}

/**
 * An answer on its way. `sentOn` is the socket it last went out on: on one
 * socket it never goes twice.
 * @typedef {object} Reply
 * @property {Record<string, unknown>} frame
 * @property {Promise<Ack>} promise
 * @property {(ack: Ack) => void} resolve
 * @property {WebSocket | null} sentOn
 * @property {number} sends
 * @property {ReturnType<typeof setTimeout> | undefined} timer
 */

/** The connection and what is known through it; made by `connect`. */
export class Router {
  /** Open questions by id, oldest first. @type {Map<string, Question>} */
  questions = new Map();
  /** @type {ConnectionState} */
  state = "closed";
  /** Who the gateway takes the person for; empty where it wants no credential. */
  user = "";
  /** @type {string[]} */
  groups = [];
  /** What the gateway said about itself; empty before the first connection. */
  server = { name: "", version: "" };
  /** @type {Limits} */
  limits = DEFAULT_LIMITS;

  /** @type {Map<string, Set<Function>>} */ #listeners = new Map();
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Map<string, Reply>} */ #replies = new Map();
  /** @type {Map<string, { text: string, timer: ReturnType<typeof setTimeout> | undefined }>} */ #drafts = new Map();
  /** @type {Set<string>} */ #seen = new Set();
  /** Known before this connection and not offered on it yet. @type {Set<string>} */ #unconfirmed = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #settling;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #sweeping;
  #attempt = 0;
  #skew = 0;
  #connectSentAt = 0;
  #openedAt = 0;
  /** Whether zstd is offered: until a gateway does not take it, or sends what is none. */
  #offersZstd = readsZstd();
  #sweptAt = Date.now();
  /** A gateway that knows only the four original messages acknowledges nothing. */
  #acknowledges = true;
  /** @type {URL} */ #url;
  /** @type {Options} */ #options;
  /** @type {Credential | null} */ #credential = null;
  /** Ends the wait for a ticket. */ #asking = new AbortController();
  /** Why the gateway is about to close. */ #refusal = "";
  #abort = new AbortController();
  /** @type {Tools | null} */ #tools = null;

  /** @param {Options} options */
  constructor(options) {
    this.#url = socketUrl(options.url);
    const { token, ticket, tools, ...others } = options;
    this.#options = others;
    if (token !== undefined || ticket) this.#credential = new Credential(this.#url, token, ticket);
    /** Stable for this tab: the gateway resumes us by it. */
    this.frontendId = options.frontendId ?? rememberedId(this.#url);
    if (tools !== undefined) this.offerTools(tools);
    this.#open();
    this.#listenToPage();
    this.#sweeping = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** The gateway's clock, in milliseconds since 1970. */
  now() {
    return Date.now() + this.#skew;
  }

  /**
   * Hear about an event until the returned function is called.
   * @template {keyof Events} K
   * @param {K} type
   * @param {Events[K]} listener
   * @returns {() => void}
   */
  on(type, listener) {
    let listeners = this.#listeners.get(type);
    if (!listeners) this.#listeners.set(type, (listeners = new Set()));
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /**
   * Answer a question. Resolves, and never rejects, when the gateway has said
   * what became of it, however many reconnections later. Until it has gone out,
   * a second answer replaces the first. Afterwards the first may have counted, so that
   * a second one is never sent: it is a "duplicate" when the first one counts (`by` is
   * this frontend), "unsent" when that came to nothing, or too late as the first is. The
   * same answer once more gets the first one's reply.
   * @param {string} id
   * @param {Answer} answer
   * @returns {Promise<Ack>}
   */
  answer(id, answer) {
    const body = typeof answer === "string" ? { answer: wellFormed(answer) } : { ...answer };
    if (!("answer" in body) && !("content" in body)) throw new TypeError("an answer is text, or { content }");
    const said = "content" in body ? JSON.stringify(body) : (body.answer ?? "");
    const { answer_bytes, message_bytes } = this.limits;
    // Of an answer the gateway counts the characters, and of a message the bytes: a longer one would end the connection.
    const whole = JSON.stringify({ type: "user_response", request_id: id, ...body });
    let most = "";
    if (characters(said) > answer_bytes) most = `${answer_bytes} characters`;
    else if (byteLength(whole) > message_bytes) most = `${message_bytes} bytes`;
    if (most) {
      const message = `The answer is longer than the gateway takes (${most}).`;
      return Promise.resolve(this.#hear(id, { status: "invalid", message }));
    }
    return this.#reply(id, body);
  }

  /**
   * Decline a question: the agent is told that nobody will answer, and why.
   * @param {string} id
   * @param {string} [reason]
   * @returns {Promise<Ack>}
   */
  reject(id, reason = "") {
    const body = { rejected: true, ...(reason ? { reason: wellFormed(reason) } : {}) };
    return this.#reply(id, body);
  }

  /**
   * Keep what has been typed so far at the gateway. Call it on every keystroke:
   * it is sent when typing pauses.
   * @param {string} id
   * @param {string} draft
   */
  draft(id, draft) {
    if (!this.questions.has(id)) return;
    const known = this.#drafts.get(id) ?? { text: "", timer: undefined };
    known.text = wellFormed(draft);
    known.timer ??= setTimeout(() => this.#sendDraft(id), DRAFT_PAUSE_MS);
    this.#drafts.set(id, known);
  }

  /**
   * Tell the gateway that a person has the question before their eyes.
   * @param {string} id
   */
  seen(id) {
    if (!this.questions.has(id) || this.#seen.has(id)) return;
    this.#seen.add(id);
    this.#send({ type: "seen", request_id: id });
  }

  /**
   * Offer tools to agents, as `<namespace>.<tool>`: those that are registered with what this
   * returns, and those that the page registers with WebMCP from now on, unless `webmcp` is false.
   * @param {string} namespace
   * @param {{ webmcp?: boolean }} [options]
   * @returns {Tools}
   */
  offerTools(namespace, { webmcp = true } = {}) {
    this.#tools?.retire();
    this.#tools = new Tools(namespace, `${keyOf(this.#url)}#calls`, {
      send: (message) => this.state === "open" && this.#send(message),
      now: () => this.now(),
      offered: (offered) => this.#emit("tools", offered),
    });
    if (webmcp) bridge(this.#tools);
    return this.#tools;
  }

  /** Answers the gateway has not confirmed. */
  get unconfirmed() {
    return this.#replies.size;
  }

  /** Try at once: instead of pausing, or after the gateway ended the connection for good. */
  reconnect() {
    if (this.state === "connecting" || this.state === "open" || this.#abort.signal.aborted) return;
    if (this.state === "closed") this.#credential?.startOver();
    this.#attempt = 0;
    this.#open();
  }

  /** Show another credential from now on, on a new connection.
   * @param {Token} token */
  signIn(token) {
    if (this.#abort.signal.aborted) return;
    this.#credential = new Credential(this.#url, token);
    this.#leave(1000);
    this.#attempt = 0;
    this.#open();
  }

  /** Be somebody else from now on, on a new connection.
   * @param {Pick<Options, "user" | "name" | "groups">} who */
  introduce(who) {
    this.#options = { ...this.#options, ...who };
    this.#leave(1000);
    this.#attempt = 0;
    this.#open();
  }

  /** Say goodbye and stay closed. */
  close() {
    this.#abort.abort();
    clearInterval(this.#sweeping);
    this.#send({ type: "disconnect" });
    this.#leave(1000);
    for (const id of [...this.#replies.keys()]) this.#settleReply(id, { status: "unsent" });
    for (const draft of this.#drafts.values()) clearTimeout(draft.timer);
    this.#setState({ state: "closed", code: 1000, terminal: true });
  }

  // ---- the connection -------------------------------------------------------

  #open() {
    clearTimeout(this.#timer);
    this.#refusal = "";
    this.#setState({ state: "connecting" });
    this.#unconfirmed = new Set(this.questions.keys());
    // No subprotocol is offered without need: a browser drops the connection when a
    // gateway that knows none does not name it back, and without it all is the same.
    if (!this.#credential) return this.#dial([]);
    const { signal } = (this.#asking = new AbortController());
    this.#credential.ticket(signal).then(
      // A gateway that makes no tickets wants none.
      (ticket) => signal.aborted || this.#dial(ticket ? [SUBPROTOCOL, TICKET + ticket] : []),
      (error) => signal.aborted || this.#hasNoTicket(error),
    );
  }

  /** @param {string[]} subprotocols */
  #dial(subprotocols) {
    const offersZstd = this.#offersZstd;
    const plainly = subprotocols.length ? subprotocols : [SUBPROTOCOL];
    const socket = new WebSocket(this.#url, offersZstd ? [ZSTD, ...plainly] : subprotocols);
    socket.binaryType = "arraybuffer";
    const inTurn = turns();
    let isOpen = false;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket, 1006, "no answer"), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      isOpen = true;
      this.#connectSentAt = Date.now();
      const { user, name, groups } = this.#options;
      this.#send({ type: "connect", frontend_id: this.frontendId, user, name, groups });
    };
    /** @param {number} code @param {string} reason */
    const lost = (code, reason) => {
      if (offersZstd && !isOpen) this.#offersZstd = false;
      this.#lost(socket, code, reason);
    };
    const unreadable = () => {
      this.#offersZstd = false;
      this.#lost(socket, 1006, "a message could not be read");
    };
    /** @param {unknown} data */
    const receive = (data) => {
      if (socket === this.#socket) this.#receive(data);
    };
    socket.onmessage = ({ data }) =>
      inTurn(data instanceof ArrayBuffer ? unzstd(data) : data, receive, unreadable);
    socket.onclose = ({ code, reason }) => inTurn(null, () => lost(code, reason), unreadable);
  }

  /** @param {unknown} error */
  #hasNoTicket(error) {
    if (!(error instanceof NoTicket)) {
      report(error); // The app's function failed; it may not next time.
      this.#pause(1006, "the app could not say who this is", this.#jitter());
    } else if (error.code) this.#demandSignIn(error.code, error.message);
    else this.#pause(UNAUTHENTICATED, error.message, error.wait + this.#jitter());
  }

  /**
   * @param {3000 | 3503} code
   * @param {string} reason
   */
  #demandSignIn(code, reason) {
    this.#setState({ state: "closed", code, reason, terminal: true, needsSignIn: true });
    this.#emit("signin", { reason, code });
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#leave(1000);
    // What has gone out may have arrived: it stays "sending", and goes out again as it is.
    for (const reply of this.#replies.values()) clearTimeout(reply.timer);
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE_MS) {
      this.#attempt = 0;
      this.#credential?.startOver();
    }
    this.#openedAt = 0;
    if (code === FORBIDDEN) return this.#demandSignIn(code, this.#refusal || reason);
    if (code === UNAUTHENTICATED && !this.#credential?.mayHaveAnother())
      return this.#demandSignIn(code, this.#refusal || reason);
    if (!mayReconnect(code)) return this.#setState({ state: "closed", code, reason, terminal: true });
    // A gateway that restarts spreads its frontends, and tells each when to come back.
    const told = code === 1012 && /\bretry_after_ms=(\d{1,6})\b/.exec(reason);
    if (told) this.#pause(code, reason, Math.min(RETRY_CAP_MS, Number(told[1])));
    else this.#pause(code, reason, this.#jitter());
  }

  /** Full jitter: nobody comes back in step with anybody. */
  #jitter() {
    return Math.random() * Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** this.#attempt++);
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {number} delay
   */
  #pause(code, reason, delay) {
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#setState({ state: "waiting", code, reason, retryAt: Date.now() + delay });
  }

  /** Let go of the socket; what it still says is not heard.
   * @param {number} code */
  #leave(code) {
    clearTimeout(this.#timer);
    clearTimeout(this.#settling);
    this.#asking.abort();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #listenToPage() {
    if (typeof window === "undefined") return;
    const { signal } = this.#abort;
    const retry = () => {
      if (this.state === "waiting") this.reconnect();
    };
    window.addEventListener("online", retry, { signal });
    window.addEventListener("pageshow", retry, { signal });
    // A browser may keep a page that was left, with its connection, and nobody in front of it.
    const leave = () => this.#socket && this.#lost(this.#socket, 1006, "the page is put aside");
    window.addEventListener("pagehide", leave, { signal });
    document.addEventListener("visibilitychange", () => document.hidden || retry(), { signal });
  }

  /**
   * @param {Record<string, unknown>} message
   * @returns {boolean} whether it went out
   */
  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** @param {StateChange} change */
  #setState(change) {
    this.state = change.state;
    this.#emit("state", change);
  }

  // ---- what the gateway says ------------------------------------------------

  /** @param {unknown} data */
  #receive(data) {
    const frame = parse(data);
    if (!frame) return;
    switch (frame.type ?? guessType(frame)) {
      case "connect_ack":
        return this.#connected(frame);
      case "ask_user":
        return this.#offered(frame);
      case "question_closed":
        return this.#closedThere(frame);
      case "response_ack":
        return this.#acknowledged(frame);
      case "notify_user":
        return this.#emit("notice", notice(frame, this.now()));
      case "tool_call":
        return this.#tools?.called(frame);
      case "tool_cancel":
        return this.#tools?.cancelled(text(frame.call_id), text(frame.message) || text(frame.reason));
      case "tool_ack":
        return this.#tools?.acknowledged(text(frame.call_id));
      case "tools_registered":
        return this.#tools?.registered(frame);
      case "error":
        return this.#refused(frame);
      default: // A later gateway may say more than we know.
    }
  }

  /** @param {Record<string, unknown>} frame */
  #connected(frame) {
    clearTimeout(this.#timer);
    this.#openedAt = Date.now();
    this.#acknowledges = "server_time" in frame || "session_id" in frame;
    const serverTime = moment(frame.server_time, NaN);
    // The gateway read its clock half a round trip ago.
    const travel = (this.#openedAt - this.#connectSentAt) / 2;
    if (Number.isFinite(serverTime)) this.#skew = serverTime + travel - this.#openedAt;
    this.#become(text(frame.user), frame.groups);
    if (typeof frame.frontend_id === "string" && frame.frontend_id !== this.frontendId) {
      this.frontendId = frame.frontend_id;
      // Ours was somebody else's, who had this tab before.
      if (this.#options.frontendId === undefined) remember(this.#url, this.frontendId);
    }
    this.limits = { ...DEFAULT_LIMITS, ...numbers(frame.limits) };
    const server = record(frame.server);
    if (server) this.server = { name: text(server.name), version: text(server.version) };
    this.#setState({ state: "open" });
    for (const id of this.#replies.keys()) this.#sendReply(id);
    this.#tools?.connected();
    this.#awaitReoffers();
  }

  /**
   * What one person had before them is not the next one's, nor is it said in their name.
   * @param {string} user
   * @param {unknown} groups
   */
  #become(user, groups) {
    const before = this.user;
    this.user = user;
    this.groups = Array.isArray(groups) ? groups.map(text) : [];
    if (!before || before === user) return;
    for (const id of [...this.#replies.keys()]) this.#settleReply(id, { status: "unsent" });
    for (const id of [...this.questions.keys()]) this.#finish(id, { reason: "gone", mine: false });
  }

  #awaitReoffers() {
    clearTimeout(this.#settling);
    if (!this.#unconfirmed.size) return;
    this.#settling = setTimeout(() => {
      for (const id of this.#unconfirmed) {
        // An answer on its way gets its own reply.
        if (!this.#replies.has(id)) this.#finish(id, { reason: "gone", mine: false });
      }
      this.#unconfirmed.clear();
    }, REOFFER_PAUSE_MS);
  }

  /** @param {Record<string, unknown>} frame */
  #offered(frame) {
    const id = frame.request_id;
    if (typeof id !== "string" || typeof frame.question !== "string") return;
    const known = this.questions.get(id);
    if (known) {
      known.accept(frame);
      if (this.#unconfirmed.delete(id)) this.#awaitReoffers();
      if (this.#seen.delete(id)) this.seen(id);
      if (this.#drafts.has(id)) this.draft(id, /** @type {{ text: string }} */ (this.#drafts.get(id)).text);
      this.#emit("updated", known);
      return;
    }
    if (this.questions.size >= MAX_QUESTIONS) return;
    const question = new Question(this, frame);
    this.questions.set(id, question);
    this.#emit("question", question);
  }

  /** @param {Record<string, unknown>} frame */
  #closedThere(frame) {
    const id = text(frame.request_id);
    const by = settler(frame.by);
    const reason = REASONS.has(/** @type {string} */ (frame.reason)) ? frame.reason : "gone";
    const mine = this.#mayBeOurs(id, by);
    this.#finish(id, /** @type {Closure} */ ({ reason, by, message: text(frame.message), mine }));
  }

  /**
   * Whether what settled a question is the copy of our answer whose
   * acknowledgement was lost. A duplicated tab has our id and not our answer.
   * @param {string} id
   * @param {Settler | undefined} by
   */
  #mayBeOurs(id, by) {
    return by?.frontend_id === this.frontendId && (this.#replies.get(id)?.sends ?? 0) > 1;
  }

  /** @param {Record<string, unknown>} frame */
  #acknowledged(frame) {
    const id = text(frame.request_id);
    const status = text(frame.status);
    if (!ACK_STATUSES.has(status)) return;
    const ack = /** @type {Ack} */ ({
      status,
      message: text(frame.message),
      state: text(frame.state),
      by: settler(frame.by),
    });
    if ((status === "duplicate" || status === "too_late") && this.#mayBeOurs(id, ack.by)) ack.status = "accepted";
    this.#settleReply(id, ack);
  }

  /** @param {Record<string, unknown>} frame */
  #refused(frame) {
    const fault = {
      code: text(frame.code),
      message: text(frame.message),
      retryable: frame.retryable === true,
      requestId: typeof frame.request_id === "string" ? frame.request_id : undefined,
    };
    if (fault.code === "unauthenticated") this.#refusal = fault.message;
    const pause = typeof frame.retry_after === "number" ? frame.retry_after * 1000 : 0;
    for (const [id, reply] of this.#replies) {
      if (reply.sentOn !== this.#socket || (fault.requestId && fault.requestId !== id)) continue;
      // A busy gateway may not say which answer it did not take. Sending one
      // again that it did take is harmless.
      if (fault.retryable && reply.sends < MAX_SENDS) this.#sendReplySoon(id, reply, pause);
      else if (fault.requestId) this.#settleReply(id, { status: "invalid", message: fault.message });
    }
    if (fault.retryable) this.#tools?.refused(fault.requestId, pause || ACK_TIMEOUT_MS * Math.random());
    this.#emit("fault", fault);
    // A gateway that cannot say now who we are does not let us in later either.
    if (this.state === "connecting" && fault.retryable && !fault.requestId && this.#socket)
      this.#lost(this.#socket, 1013, fault.message);
  }

  // ---- what we say ----------------------------------------------------------

  /**
   * @param {string} id
   * @param {Record<string, unknown>} body
   * @returns {Promise<Ack>}
   */
  #reply(id, body) {
    const frame = { type: "user_response", request_id: id, ...body };
    const earlier = this.#replies.get(id);
    if (earlier) {
      if (earlier.sends === 0) earlier.frame = frame;
      else if (JSON.stringify(earlier.frame) !== JSON.stringify(frame))
        return earlier.promise.then((ack) => this.#outrun(ack));
      return earlier.promise;
    }
    if (this.#abort.signal.aborted) return Promise.resolve({ status: "unsent" });
    if (!this.questions.has(id))
      return Promise.resolve({ status: "unknown", message: "That question is not open here." });
    /** @type {(ack: Ack) => void} */
    let resolve = () => {};
    /** @type {Promise<Ack>} */
    const promise = new Promise((fulfil) => (resolve = fulfil));
    this.#replies.set(id, { frame, promise, resolve, sentOn: null, sends: 0, timer: undefined });
    this.#dropDraft(id);
    this.#setPhase(id, "unsent");
    if (this.state === "open") this.#sendReply(id);
    return promise;
  }

  /**
   * What an answer hears that came after another one had gone out.
   * @param {Ack} ack  of that one
   * @returns {Ack}
   */
  #outrun(ack) {
    switch (ack.status) {
      case "accepted":
      case "assumed":
        return {
          status: "duplicate",
          message: "Another answer from here had gone out before.",
          state: ack.state,
          by: { frontend_id: this.frontendId, user: this.user },
        };
      case "duplicate":
      case "too_late":
      case "unknown":
        return ack;
      default:
        return { status: "unsent", message: "Another answer from here had gone out before, and came to nothing." };
    }
  }

  /** @param {string} id */
  #sendReply(id) {
    const reply = this.#replies.get(id);
    if (!reply || reply.sentOn === this.#socket) return;
    if (reply.sends >= MAX_SENDS) return this.#settleReply(id, { status: "unacknowledged" });
    if (!this.#send(reply.frame)) return;
    reply.sentOn = this.#socket;
    reply.sends += 1;
    if (!this.#acknowledges) return this.#settleReply(id, { status: "assumed" });
    this.#setPhase(id, "sending");
    clearTimeout(reply.timer);
    const socket = this.#socket;
    reply.timer = setTimeout(() => {
      // A connection that swallows answers is dead, whatever it looks like.
      if (socket) this.#lost(socket, 1006, "no acknowledgement");
    }, ACK_TIMEOUT_MS);
  }

  /**
   * @param {string} id
   * @param {Reply} reply
   */
  #sendReplySoon(id, reply, pause = 0) {
    clearTimeout(reply.timer);
    reply.timer = setTimeout(
      () => {
        reply.sentOn = null;
        this.#sendReply(id);
      },
      pause + Math.random() * RETRY_BASE_MS * 2 ** reply.sends,
    );
  }

  /**
   * @param {string} id
   * @param {Ack} ack
   */
  #settleReply(id, ack) {
    const reply = this.#replies.get(id);
    if (!reply) return;
    clearTimeout(reply.timer);
    this.#replies.delete(id);
    const rejected = reply.frame.rejected === true;
    this.#hear(id, ack);
    switch (ack.status) {
      case "accepted":
      case "assumed":
        this.#finish(id, { reason: rejected ? "rejected" : "answered", mine: true });
        break;
      case "duplicate":
        this.#finish(id, { reason: "answered", by: ack.by, mine: false });
        break;
      case "too_late":
        this.#finish(
          id,
          /** @type {Closure} */ ({ reason: REASONS.has(ack.state ?? "") ? ack.state : "timed_out", mine: false }),
        );
        break;
      case "unknown":
        this.#finish(id, { reason: "unknown", mine: false });
        break;
      default: // The question stays with the person, and the text with it.
        this.#setPhase(id, "open");
    }
    reply.resolve(ack);
  }

  /**
   * @param {string} id
   * @param {Ack} ack
   */
  #hear(id, ack) {
    const question = this.questions.get(id);
    if (question) {
      question.lastAck = ack;
      this.#emit("updated", question);
    }
    return ack;
  }

  /**
   * @param {string} id
   * @param {Question["phase"]} phase
   */
  #setPhase(id, phase) {
    const question = this.questions.get(id);
    if (!question || question.phase === phase) return;
    question.phase = phase;
    this.#emit("updated", question);
  }

  /** @param {string} id */
  #sendDraft(id) {
    const draft = this.#drafts.get(id);
    if (!draft) return;
    draft.timer = undefined;
    if (characters(draft.text) <= this.limits.draft_bytes)
      this.#send({ type: "draft", request_id: id, text: draft.text });
  }

  /** @param {string} id */
  #dropDraft(id) {
    clearTimeout(this.#drafts.get(id)?.timer);
    this.#drafts.delete(id);
  }

  // ---- the end of a question ------------------------------------------------

  /**
   * @param {string} id
   * @param {Closure} closure
   */
  #finish(id, closure) {
    const question = this.questions.get(id);
    if (!question) return;
    this.questions.delete(id);
    this.#unconfirmed.delete(id);
    this.#seen.delete(id);
    this.#dropDraft(id);
    question.phase = "closed";
    question.closure = closure;
    this.#emit("closed", question, closure);
  }

  #sweep() {
    const slept = Date.now() - this.#sweptAt > SLEPT_MS;
    this.#sweptAt = Date.now();
    if (slept && this.#socket) this.#lost(this.#socket, 1006, "the machine slept");
    const grace = this.state === "open" ? OVERDUE_MS : 0;
    const now = this.now();
    for (const question of this.questions.values()) {
      // An answer on its way gets its own reply, if only "too late".
      if (question.deadline + grace < now && !this.#replies.has(question.id)) {
        this.#finish(question.id, { reason: "timed_out", mine: false });
      }
    }
  }

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {Parameters<Events[K]>} args
   */
  #emit(type, ...args) {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(...args);
      } catch (error) {
        // The page's mistake is the page's: the connection goes on.
        report(error);
      }
    }
  }
}

// ---- tools for agents --------------------------------------------------------

// What is remembered of calls, for a page that reloads while one is under way.
const MAX_CALLS = 200;
// What the gateway passes on, if nobody has told it otherwise.
const MAX_RESULT = 256 * 1024;
// Longer than any call is waited for.
const NOTED_MS = 7 * 24 * 3600 * 1000;
const INTERRUPTED =
  "The page was reloaded or left while this tool ran. Whether it did what it was asked to is not known, and it was not run again.";

/** @typedef {{ send: (message: Record<string, unknown>) => boolean, now: () => number, offered: (offered: ToolsOffered) => void }} Line */
/** `over` is there when nobody waits for the result any more; `end` says so.
 * @typedef {{ abort: AbortController, result: Record<string, unknown> | null, over: Promise<void>, end: () => void }} Run */

/** The tools that a page offers to agents; made by `Router.offerTools`. */
export class Tools {
  /** What agents are offered now, by their whole names. @type {string[]} */
  names = [];

  /** @type {string} */ #namespace;
  /** @type {Line} */ #line;
  /** @type {Ledger} */ #ledger;
  /** @type {Map<string, Tool>} */ #tools = new Map();
  /** Calls that run here, or whose results are not acknowledged. @type {Map<string, Run>} */ #runs = new Map();
  #isSaid = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #again;

  /**
   * @param {string} namespace
   * @param {string} key  where calls are remembered
   * @param {Line} line
   */
  constructor(namespace, key, line) {
    this.#namespace = namespace;
    this.#line = line;
    this.#ledger = new Ledger(key);
  }

  /**
   * Offer a tool, in place of one with the same name.
   * @param {Tool} tool
   * @param {{ signal?: AbortSignal }} [options]  aborting it offers the tool no more
   * @returns {() => void} offers it no more
   */
  register(tool, { signal } = {}) {
    if (typeof tool?.name !== "string" || typeof tool.execute !== "function")
      throw new TypeError("a tool has a name, a description and execute");
    const remove = () => {
      if (this.#tools.get(tool.name) !== tool) return;
      this.#tools.delete(tool.name);
      this.#say();
    };
    if (signal?.aborted) return remove;
    this.#tools.set(tool.name, tool);
    signal?.addEventListener("abort", remove);
    this.#say();
    return remove;
  }

  /** @param {string} name */
  unregister(name) {
    if (this.#tools.delete(name)) this.#say();
  }

  /** Offer nothing any more. */
  clear() {
    this.#tools.clear();
    this.#say();
  }

  // -- for the router

  /** Others take the place of these: offer nothing, and stand in nobody's way. */
  retire() {
    this.clear();
    for (const run of this.#runs.values()) run.end();
  }

  connected() {
    this.#isSaid = true;
    if (this.#tools.size) this.#say();
    for (const [id, run] of this.#runs) if (run.result) this.#return(id, run.result);
  }

  /**
   * @param {string | undefined} callId
   * @param {number} pause
   */
  refused(callId, pause) {
    const result = callId && this.#runs.get(callId)?.result;
    if (result) setTimeout(() => this.#return(callId, result), pause);
    else if (!callId && this.#isSaid && this.#tools.size) {
      // Perhaps it was the tools for which there was no room.
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#say(), pause);
    }
  }

  /** @param {Record<string, unknown>} frame */
  registered(frame) {
    clearTimeout(this.#again);
    this.names = Array.isArray(frame.tools) ? frame.tools.map(text) : [];
    const refused = Array.isArray(frame.refused) ? frame.refused.map((each) => record(each) ?? {}) : [];
    this.#line.offered({
      names: this.names,
      refused: refused.map((each) => ({ name: text(each.name), message: text(each.message) })),
    });
  }

  /** @param {Record<string, unknown>} frame */
  called(frame) {
    const id = text(frame.call_id);
    const running = this.#runs.get(id);
    if (!id || running) {
      // The same call again: it runs, or what it returned has not arrived.
      if (running?.result) this.#return(id, running.result);
      return;
    }
    let end = () => {};
    /** @type {Promise<void>} */
    const over = new Promise((resolve) => (end = resolve));
    /** @type {Run} */
    const run = { abort: new AbortController(), result: this.#ledger.find(id)?.result ?? null, over, end };
    this.#runs.set(id, run);
    if (run.result) return this.#return(id, run.result);
    const tool = [...this.#tools.values()].find((each) => text(frame.tool) === `${this.#namespace}.${agreed(each.name)}`);
    if (!tool) return this.#finish(id, run, failed("This page has no such tool any more."));
    const hints = tool.annotations ?? {};
    const again = hints.readOnlyHint === true || hints.idempotentHint === true;
    this.#alone(id, over, async (waited) => {
      const before = waited || this.#ledger.find(id) !== undefined;
      const execute = before ? (tool.resume ?? (again ? tool.execute : null)) : tool.execute;
      if (run.abort.signal.aborted) return;
      if (!execute) return this.#finish(id, run, failed(INTERRUPTED));
      await this.#run(id, run, () => execute.call(tool, record(frame.arguments) ?? {}, this.#agent(id, frame, run)));
    }).catch(report);
  }

  /**
   * Take a step with a call while no other tab does. A tab that was duplicated has our id, and is shown our calls
   * while our line is down. A call stays ours until its result is acknowledged, or we are gone: what we return when
   * the line is back is better than word from the other tab that nobody knows. Whoever had to wait is told so,
   * as the call has run by then.
   * @param {string} id
   * @param {Promise<void>} over
   * @param {(waited: boolean) => Promise<void>} step
   */
  async #alone(id, over, step) {
    const { locks } = navigator;
    if (!locks) return step(false);
    const name = `frontend-router:${id}`;
    const had = async (/** @type {boolean} */ waited) => {
      await step(waited);
      await over;
      return true;
    };
    const isHad = await locks.request(name, { ifAvailable: true }, (lock) => lock !== null && had(false));
    if (!isHad) await locks.request(name, () => had(true));
  }

  /**
   * @param {string} id
   * @param {string} why
   */
  cancelled(id, why) {
    this.#runs.get(id)?.abort.abort(new DOMException(why, "AbortError"));
    this.acknowledged(id);
  }

  /** @param {string} id */
  acknowledged(id) {
    this.#runs.get(id)?.end();
    this.#runs.delete(id);
    this.#ledger.forget(id);
  }

  // -- inside

  /** Say what is offered, once for all that is registered in one go. */
  #say() {
    if (!this.#isSaid) return;
    this.#isSaid = false;
    queueMicrotask(() => {
      this.#isSaid = true;
      const tools = [...this.#tools.values()].map((tool) => ({
        name: agreed(tool.name),
        title: tool.title,
        description: tool.description,
        inputSchema: schema(tool.inputSchema),
        outputSchema: schema(tool.outputSchema),
        annotations: tool.annotations,
      }));
      this.#line.send({ type: "register_tools", namespace: this.#namespace, tools });
    });
  }

  /**
   * @param {string} id
   * @param {Record<string, unknown>} frame
   * @param {Run} run
   * @returns {ToolAgent}
   */
  #agent(id, frame, run) {
    return {
      callId: id,
      from: asker(frame.from),
      signal: run.abort.signal,
      progress: (progress, total, message) => {
        if (this.#runs.get(id) === run && !run.result)
          this.#line.send({ type: "tool_progress", call_id: id, progress, total, message });
      },
      requestUserInteraction: async (ask) => ask(),
    };
  }

  /**
   * @param {string} id
   * @param {Run} run
   * @param {() => unknown} execute
   */
  async #run(id, run, execute) {
    this.#ledger.began(id);
    /** @type {Record<string, unknown>} */
    let result;
    try {
      // As it will be read: what JSON cannot say is an error of the tool.
      result = JSON.parse(JSON.stringify(returned(await execute())));
      if (JSON.stringify(result).length > MAX_RESULT) result = failed(`The result is longer than ${MAX_RESULT} characters.`);
    } catch (error) {
      result = failed(error instanceof Error ? error.message || error.name : String(error));
    }
    this.#finish(id, run, result);
  }

  /**
   * @param {string} id
   * @param {Run} run
   * @param {Record<string, unknown>} result
   */
  #finish(id, run, result) {
    if (this.#runs.get(id) !== run) return; // Nobody waits any more.
    run.result = result;
    this.#ledger.ended(id, result);
    this.#return(id, result);
  }

  /**
   * @param {string} id
   * @param {Record<string, unknown>} result
   */
  #return(id, result) {
    this.#line.send({ type: "tool_result", call_id: id, result });
  }
}

/**
 * The calls that began in this tab, with what they returned, and that others began in other tabs: a page that
 * reloads must not run one twice, nor must one that was duplicated before the first one was closed.
 */
class Ledger {
  /** @type {string} */ #key;
  /** @type {Map<string, { result?: Record<string, unknown> }>} */ #calls;

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
    try {
      this.#calls = new Map(JSON.parse(sessionStorage.getItem(key) ?? "[]"));
    } catch {
      this.#calls = new Map(); // Storage is off, or holds what is none of ours.
    }
    try {
      // Of calls that nobody ended here: their tabs were closed.
      for (const noted of Object.keys(localStorage))
        if (noted.startsWith(this.#noteOf("")) && !(Number(localStorage.getItem(noted)) > Date.now() - NOTED_MS))
          localStorage.removeItem(noted);
    } catch {
      // As above.
    }
  }

  /**
   * What is known of a call that has begun, in this tab or in another one.
   * @param {string} id
   * @returns {{ result?: Record<string, unknown> } | undefined}
   */
  find(id) {
    const known = this.#calls.get(id);
    if (known) return known;
    try {
      return localStorage.getItem(this.#noteOf(id)) === null ? undefined : {};
    } catch {
      return undefined; // Storage is off.
    }
  }

  /** @param {string} id */
  began(id) {
    this.#put(id, {});
    try {
      localStorage.setItem(this.#noteOf(id), String(Date.now()));
    } catch {
      // Storage is off or full: other tabs know of it as long as this one has it.
    }
  }

  /**
   * @param {string} id
   * @param {Record<string, unknown>} result
   */
  ended(id, result) {
    this.#put(id, { result });
  }

  /** @param {string} id */
  forget(id) {
    if (this.#calls.delete(id)) this.#keep();
    try {
      localStorage.removeItem(this.#noteOf(id));
    } catch {
      // Storage is off.
    }
  }

  /** Where it stands that a call has begun: for each its own, as tabs write at the same time.
   * @param {string} id */
  #noteOf(id) {
    return `${this.#key}:${id}`;
  }

  /**
   * @param {string} id
   * @param {{ result?: Record<string, unknown> }} call
   */
  #put(id, call) {
    this.#calls.delete(id);
    this.#calls.set(id, call);
    if (this.#calls.size > MAX_CALLS) this.#calls.delete([...this.#calls.keys()][0]);
    this.#keep();
  }

  #keep() {
    try {
      sessionStorage.setItem(this.#key, JSON.stringify([...this.#calls]));
    } catch {
      // Storage is off or full: calls are known as long as the page lives.
    }
  }
}

/**
 * Have the tools that a page registers with WebMCP offered: by what the browser has, or by a
 * small stand-in for it.
 * @param {Tools} tools
 */
function bridge(tools) {
  const page = /** @type {any} */ (typeof document === "undefined" ? {} : document);
  const browser = /** @type {any} */ (navigator);
  const native = page.modelContext ?? browser.modelContext;
  const context = native ?? {};
  /** @type {Map<string, () => void>} */
  const removers = new Map();
  /** @param {Tool} tool @param {{ signal?: AbortSignal }} [options] */
  const put = (tool, options) => void removers.set(tool.name, tools.register(tool, options));
  /** @param {string} name */
  const drop = (name) => {
    removers.get(name)?.();
    removers.delete(name);
  };
  const dropAll = () => [...removers.keys()].forEach(drop);
  /** @type {Record<string, (...given: any[]) => void>} */
  const also = {
    registerTool: put,
    unregisterTool: drop,
    provideContext: (given) => (dropAll(), (given?.tools ?? []).forEach((/** @type {Tool} */ tool) => put(tool))),
    clearContext: dropAll,
  };
  for (const [name, step] of Object.entries(also)) {
    const own = context[name];
    if (native && typeof own !== "function") continue;
    /** @param {any[]} given */
    const value = (...given) => {
      // What the browser refuses is not offered.
      const said = own?.apply(context, given);
      step(...given);
      return said ?? (name === "registerTool" && !native ? { unregister: () => drop(given[0].name) } : said);
    };
    Object.defineProperty(context, name, { value, configurable: true, writable: true });
  }
  if (native) return;
  for (const owner of [page, browser])
    Object.defineProperty(owner, "modelContext", { value: context, configurable: true });
}

/** A tool's name as agents have it: WebMCP lets a name have more kinds of characters.
 * @param {string} name */
function agreed(name) {
  return name.replace(/[^\w-]/g, "_");
}

/** @param {unknown} value */
function schema(value) {
  return typeof value === "string" ? JSON.parse(value) : value;
}

/** What a tool returned, as MCP has it.
 * @param {unknown} value
 * @returns {Record<string, unknown>} */
function returned(value) {
  const said = record(value);
  if (Array.isArray(said?.content)) {
    const { content, structuredContent, isError } = /** @type {Record<string, unknown>} */ (said);
    return { content, structuredContent, isError };
  }
  if (value === undefined || value === null) return { content: [] };
  const words = typeof value === "string" ? value : JSON.stringify(value);
  const content = [{ type: "text", text: wellFormed(words) }];
  return said ? { content, structuredContent: said } : { content };
}

/** @param {string} message */
function failed(message) {
  return { content: [{ type: "text", text: wellFormed(message) }], isError: true };
}

// ---- who the person is ------------------------------------------------------

/** There is no ticket: the person has to sign in (`code`), or it is tried again (`wait` is the least pause). */
class NoTicket extends Error {
  /**
   * @param {string} message
   * @param {0 | 3000 | 3503} [code]
   * @param {number} [wait]
   */
  constructor(message, code = 0, wait = 0) {
    super(message);
    this.code = code;
    this.wait = wait;
  }
}

/** What the page can show of who its person is, as tickets: each is good for one connection. */
class Credential {
  /** @type {URL} */ #url;
  /** @type {Token | undefined} */ #source;
  /** @type {Options["ticket"]} */ #ticketSource;
  /** @type {unknown} */ #token = "";
  /** What the gateway refused last, and its words. */
  #refused = { token: "", reason: "" };
  #refusals = 0;

  /**
   * @param {URL} url  of the socket
   * @param {Token} [token]
   * @param {Options["ticket"]} [ticket]
   */
  constructor(url, token, ticket) {
    this.#url = new URL("ticket", url);
    this.#url.protocol = url.protocol.replace("ws", "http");
    this.#source = token;
    this.#ticketSource = token === undefined ? ticket : undefined;
  }

  /** Forget that something was refused: it was long ago, or somebody says so. */
  startOver() {
    this.#refusals = 0;
    this.#refused = { token: "", reason: "" };
  }

  /** What was shown is good no more. Whether there may be another one. */
  mayHaveAnother() {
    this.#token = "";
    this.#refusals += 1;
    return this.#refusals < MAX_REFUSALS;
  }

  /**
   * Return a fresh ticket; an empty text for a gateway that makes none.
   * @param {AbortSignal} signal
   * @returns {Promise<string>}
   */
  async ticket(signal) {
    if (this.#ticketSource) {
      const given = await this.#ticketSource();
      if (!given) throw new NoTicket("", UNAUTHENTICATED);
      return bare(given);
    }
    if (!this.#token) {
      const source = this.#source;
      const asked = typeof source === "function" ? await source({ refused: this.#refusals > 0 }) : source;
      this.#token = typeof asked === "string" ? asked.trim() : "";
      if (signal.aborted) throw new NoTicket("");
    }
    const token = String(this.#token);
    if (!token) throw new NoTicket(this.#refused.reason, UNAUTHENTICATED);
    // Nothing else may be in a header. What it is instead is not said: it may be secret.
    if (!/^[\x21-\x7e]+$/.test(token)) throw this.#refuse(token, "This is no API key or access token: those are one word.");
    if (token === this.#refused.token) throw new NoTicket(this.#refused.reason, UNAUTHENTICATED);
    return this.#exchange(token, signal);
  }

  /**
   * @param {string} token
   * @param {AbortSignal} signal
   */
  async #exchange(token, signal) {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), CONNECT_TIMEOUT_MS);
    signal.addEventListener("abort", () => patience.abort());
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        credentials: "omit",
        cache: "no-store",
        redirect: "error",
        referrerPolicy: "no-referrer",
        signal: patience.signal,
      });
      const said = record(await response.json().catch(() => null)) ?? {};
      if (response.ok) return bare(said.ticket);
      return this.#turnedAway(response, token, text(said.error).slice(0, 500));
    } catch (error) {
      throw error instanceof NoTicket ? error : new NoTicket("The gateway cannot be reached.");
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {Response} response
   * @param {string} token
   * @param {string} reason
   */
  #turnedAway({ status, headers }, token, reason) {
    if (status === 404 || status === 405) return "";
    if (status === 401) throw this.#refuse(token, reason);
    if (status === 403) throw new NoTicket(reason, FORBIDDEN);
    const seconds = Number(headers.get("Retry-After"));
    const wait = seconds > 0 ? Math.min(seconds * 1000, RETRY_CAP_MS) : 0;
    throw new NoTicket(reason || `The gateway says ${status}.`, 0, wait);
  }

  /**
   * @param {string} token
   * @param {string} reason
   */
  #refuse(token, reason) {
    this.#refused = { token, reason };
    const mayHaveAnother = this.mayHaveAnother() && typeof this.#source === "function";
    return new NoTicket(reason, mayHaveAnother ? 0 : UNAUTHENTICATED);
  }
}

/** A ticket without what tells it from other subprotocols. What cannot be one is not shown to anybody.
 * @param {unknown} value */
function bare(value) {
  const ticket = text(value).replace(TICKET, "");
  if (!/^[\w.~+-]+$/.test(ticket)) throw new NoTicket("What came instead of a ticket is none.");
  return ticket;
}

// ---- reading what came over the wire ----------------------------------------

/** Whether this browser reads zstd. None can be given a dictionary, so none is asked for. */
function readsZstd() {
  try {
    return Boolean(new DecompressionStream(/** @type {any} */ ("zstd")));
  } catch {
    return false;
  }
}

/** @param {ArrayBuffer} data */
function unzstd(data) {
  const zstd = new DecompressionStream(/** @type {any} */ ("zstd"));
  return new Response(new Blob([data]).stream().pipeThrough(zstd)).text();
}

/** Take values in the order in which they came: at once, unless one before is not there yet. */
function turns() {
  /** @type {Promise<void> | null} */
  let last = null;
  /**
   * @param {unknown} value
   * @param {(value: unknown) => void} take
   * @param {() => void} fail
   */
  return (value, take, fail) => {
    if (!last && !(value instanceof Promise)) return take(value);
    const own = takeAfter(last, value, take, fail)
      .catch(report)
      .finally(() => {
        if (last === own) last = null;
      });
    last = own;
  };
}

/**
 * @param {Promise<void> | null} before
 * @param {unknown} value
 * @param {(value: unknown) => void} take
 * @param {() => void} fail
 */
async function takeAfter(before, value, take, fail) {
  let known;
  try {
    known = await value;
  } catch {
    await before;
    return fail();
  }
  await before;
  take(known);
}

/** @param {unknown} data */
function parse(data) {
  if (typeof data !== "string") return null;
  try {
    return record(JSON.parse(data));
  } catch {
    return null;
  }
}

/** Some gateways leave `type` out of what they send.
 * @param {Record<string, unknown>} frame */
function guessType(frame) {
  if ("question" in frame && "request_id" in frame) return "ask_user";
  if (frame.status === "connected") return "connect_ack";
  return undefined;
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}

/**
 * @param {unknown} value
 * @returns {Record<string, unknown> | null}
 */
function record(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? /** @type {Record<string, unknown>} */ (value)
    : null;
}

/** @param {unknown} value */
function numbers(value) {
  return Object.fromEntries(
    Object.entries(record(value) ?? {}).filter(([, number]) => typeof number === "number" && number > 0),
  );
}

/**
 * @param {unknown} value
 * @param {number} otherwise
 */
function moment(value, otherwise) {
  const at = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? otherwise : at;
}

/**
 * @param {unknown} value
 * @returns {Asker}
 */
function asker(value) {
  const from = record(value) ?? {};
  return { subject: text(from.subject), name: text(from.name) };
}

/**
 * @param {unknown} value
 * @returns {Settler | undefined}
 */
function settler(value) {
  const by = record(value);
  return by ? { frontend_id: text(by.frontend_id), user: text(by.user) } : undefined;
}

/**
 * @param {unknown} value
 * @returns {Choice[]}
 */
function choices(value) {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item) => {
    if (typeof item === "string") return [{ value: item }];
    const choice = record(item);
    if (typeof choice?.value !== "string") return [];
    return [{ value: choice.value, label: text(choice.label), description: text(choice.description) }];
  });
}

/**
 * @param {unknown} value
 * @returns {Approval | null}
 */
function approval(value) {
  const asked = record(value);
  if (!asked) return null;
  const { tool, digest, reason } = asked;
  return { tool: text(tool), arguments: text(asked.arguments), digest: text(digest), reason: text(reason) };
}

/**
 * @param {Record<string, unknown>} frame
 * @param {number} now
 * @returns {Notice}
 */
function notice(frame, now) {
  return {
    id: text(frame.notification_id),
    title: text(frame.title),
    message: text(frame.message),
    level: /** @type {Notice["level"]} */ (LEVELS.has(text(frame.level)) ? frame.level : "info"),
    from: asker(frame.from),
    createdAt: moment(frame.created_at, now),
  };
}

// ---- small things -----------------------------------------------------------

/** Half a surrogate pair has no bytes, and the gateway refuses it.
 * @param {string} value */
function wellFormed(value) {
  return /** @type {any} */ (value).toWellFormed?.() ?? value;
}

/** @param {string} value */
function byteLength(value) {
  return new TextEncoder().encode(value).length;
}

/** How long a text is as the gateway counts, for whom a surrogate pair is one.
 * @param {string} value */
function characters(value) {
  return value.length - (value.match(/[\u{10000}-\u{10ffff}]/gu)?.length ?? 0);
}

/** @param {string | URL | undefined} url */
function socketUrl(url) {
  const here = typeof location === "undefined" ? undefined : location.href;
  const absolute = new URL(url ?? "/ws", here);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute;
}

/** @param {unknown} error */
function report(error) {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
}

/** One id per tab and gateway: it survives a reload and not a new tab.
 * @param {URL} url */
function rememberedId(url) {
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
  try {
    const known = sessionStorage.getItem(keyOf(url));
    if (known) return known;
  } catch {
    // As below.
  }
  remember(url, fresh);
  return fresh;
}

/**
 * @param {URL} url
 * @param {string} id
 */
function remember(url, id) {
  try {
    sessionStorage.setItem(keyOf(url), id);
  } catch {
    // Storage is switched off: the id lasts as long as the page.
  }
}

/** @param {URL} url */
function keyOf(url) {
  return `frontend-router:${url.origin}${url.pathname}`;
}
