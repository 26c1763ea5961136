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
 * One file without dependencies, usable from any page whose origin the gateway
 * allows. It refuses to draw anything, to invent an answer, to reconnect after
 * a close code that says not to, and to forget an answer it was given: what is
 * answered while the connection is down goes out when it is back.
 */

/** How a connection stands: trying, talking, pausing before the next try, or over.
 * @typedef {"connecting" | "open" | "waiting" | "closed"} ConnectionState */

/** @typedef {{ value: string, label?: string, description?: string }} Choice */
/** @typedef {{ subject: string, name?: string }} Asker */
/** @typedef {{ frontend_id: string, user?: string }} Settler */
/** @typedef {{ message_bytes: number, answer_bytes: number, draft_bytes: number }} Limits */

/** What to say to a question: text, or the object its schema asks for.
 * @typedef {string | { content: Record<string, unknown>, answer?: string }} Answer */

/**
 * What became of an answer or a refusal. The first five come from the gateway;
 * "unacknowledged": sent repeatedly, never confirmed; "unsent": the router was
 * closed before it could go out; "assumed": sent to a gateway that never says.
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
/** @typedef {{ state: ConnectionState, retryAt?: number, code?: number, reason?: string, terminal?: boolean }} StateChange */
/** @typedef {{ code: string, message: string, retryable: boolean, requestId?: string }} Fault */

/**
 * @typedef {object} Events
 * @property {(change: StateChange) => void} state       the connection changed
 * @property {(question: Question) => void} question     a question to answer
 * @property {(question: Question) => void} updated      a known question changed
 * @property {(question: Question, closure: Closure) => void} closed   it left `questions`
 * @property {(notice: Notice) => void} notice           an agent has something to say
 * @property {(fault: Fault) => void} fault              the gateway refused a message
 */

/**
 * @typedef {object} Options
 * @property {string | URL} [url]   where the gateway's socket is; `/ws` beside the page when absent
 * @property {string} [frontendId]  kept per tab when absent
 * @property {string} [user]
 * @property {string} [name]        what to call this frontend
 * @property {string[]} [groups]
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
    /** `open`: waits for the person; `unsent`: answered, no connection; `sending`: not confirmed yet.
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
    this.context = "";
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
  #sweptAt = Date.now();
  /** A gateway that knows only the four original messages acknowledges nothing. */
  #acknowledges = true;
  /** @type {URL} */ #url;
  /** @type {Options} */ #options;
  #abort = new AbortController();

  /** @param {Options} options */
  constructor(options) {
    this.#url = socketUrl(options.url);
    this.#options = { ...options };
    /** Stable for this tab: the gateway resumes us by it. */
    this.frontendId = options.frontendId ?? rememberedId(this.#url);
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
   * a second answer replaces the first; afterwards both get the same reply.
   * @param {string} id
   * @param {Answer} answer
   * @returns {Promise<Ack>}
   */
  answer(id, answer) {
    const body = typeof answer === "string" ? { answer: wellFormed(answer) } : { ...answer };
    if (!("answer" in body) && !("content" in body)) throw new TypeError("an answer is text, or { content }");
    const said = "content" in body ? JSON.stringify(body) : (body.answer ?? "");
    if (byteLength(said) > this.limits.answer_bytes) {
      const message = `The answer is longer than the gateway takes (${this.limits.answer_bytes} bytes).`;
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

  /** Answers the gateway has not confirmed. */
  get unconfirmed() {
    return this.#replies.size;
  }

  /** Try at once: instead of pausing, or after the gateway ended the connection for good. */
  reconnect() {
    if (this.state === "connecting" || this.state === "open" || this.#abort.signal.aborted) return;
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
    this.#setState({ state: "connecting" });
    this.#unconfirmed = new Set(this.questions.keys());
    // No subprotocol is offered: a browser drops the connection when a gateway
    // that knows none does not name it back, and without it all is the same.
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket, 1006, "no answer"), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      this.#connectSentAt = Date.now();
      const { user, name, groups } = this.#options;
      this.#send({ type: "connect", frontend_id: this.frontendId, user, name, groups });
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    };
    socket.onclose = (event) => this.#lost(socket, event.code, event.reason);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#leave(1000);
    for (const [id, reply] of this.#replies) {
      clearTimeout(reply.timer);
      this.#setPhase(id, "unsent");
    }
    if (!mayReconnect(code)) {
      this.#setState({ state: "closed", code, reason, terminal: true });
      return;
    }
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE_MS) this.#attempt = 0;
    this.#openedAt = 0;
    // Full jitter: after a restart nobody comes back in step with anybody.
    const delay = Math.random() * Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** this.#attempt++);
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#setState({ state: "waiting", code, reason, retryAt: Date.now() + delay });
  }

  /** Let go of the socket; what it still says is not heard.
   * @param {number} code */
  #leave(code) {
    clearTimeout(this.#timer);
    clearTimeout(this.#settling);
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
    if (typeof frame.frontend_id === "string") this.frontendId = frame.frontend_id;
    this.limits = { ...DEFAULT_LIMITS, ...numbers(frame.limits) };
    const server = record(frame.server);
    if (server) this.server = { name: text(server.name), version: text(server.version) };
    this.#setState({ state: "open" });
    for (const id of this.#replies.keys()) this.#sendReply(id);
    this.#awaitReoffers();
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
    for (const [id, reply] of this.#replies) {
      if (reply.sentOn !== this.#socket || (fault.requestId && fault.requestId !== id)) continue;
      // A busy gateway may not say which answer it did not take. Sending one
      // again that it did take is harmless.
      if (fault.retryable && reply.sends < MAX_SENDS) this.#sendReplySoon(id, reply);
      else if (fault.requestId) this.#settleReply(id, { status: "invalid", message: fault.message });
    }
    this.#emit("fault", fault);
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
  #sendReplySoon(id, reply) {
    clearTimeout(reply.timer);
    reply.timer = setTimeout(
      () => {
        reply.sentOn = null;
        this.#sendReply(id);
      },
      Math.random() * RETRY_BASE_MS * 2 ** reply.sends,
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
    if (byteLength(draft.text) <= this.limits.draft_bytes)
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
        if (typeof reportError === "function") reportError(error);
        else console.error(error);
      }
    }
  }
}

// ---- reading what came over the wire ----------------------------------------

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

/** @param {string | URL | undefined} url */
function socketUrl(url) {
  const here = typeof location === "undefined" ? undefined : location.href;
  const absolute = new URL(url ?? "/ws", here);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute;
}

/** One id per tab and gateway: it survives a reload and not a new tab.
 * @param {URL} url */
function rememberedId(url) {
  const key = `frontend-router:${url.origin}${url.pathname}`;
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
  try {
    const known = sessionStorage.getItem(key);
    if (known) return known;
    sessionStorage.setItem(key, fresh);
  } catch {
    // Storage is switched off: the id lasts as long as the page.
  }
  return fresh;
}
