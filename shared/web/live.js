// Live changes for a page: a WebSocket first, the event stream when that fails, one request every 30 s as the floor.
//
// All three hand out the same ids, so the page hears every change once and in order whatever breaks in between:
// known ids are dropped, early ones are kept until the hole before them is filled, and a hole is asked for again.

/**
 * @import { JobEvent, SocketMessage } from "./types.d.ts"
 * @typedef {"live" | "catching_up" | "polling"} LiveState
 * @typedef {object} Listeners
 * @property {(events: JobEvent[]) => void} onEvents new events in order
 * @property {() => void} onReset the position was set anew (at the start, or because the old one can't be served): read
 *   the state
 * @property {(state: LiveState) => void} onState
 * @property {() => boolean} isBusy whether a job is active, for which a lost push is looked for more often
 */

/** Milliseconds. */
const TIMING = {
  answer: 10_000, // how long a socket may take to greet, or to answer a ping
  ping: 60_000,
  idlePing: 300_000, // while nothing runs; API Gateway ends a socket that is idle for ten minutes
  renew: 110 * 60_000, // and every socket after two hours; ± 5 minutes, so that pages do not all come at once
  renewSpread: 10 * 60_000,
  hole: 2_000, // how long a hole may stay before it is asked for again
  backOff: 1_000,
  longestBackOff: 30_000,
  upgrade: 60_000, // how often a page without a socket tries to get one
  poll: 30_000,
};
const SOCKET_TRIES = 2;
const STREAM_TRIES = 3;
const HELLOS_UNTIL_RECONNECT = 3;
const ANSWERS = new Set(["connected", "events", "reset", "heartbeat"]);
const MOST_KEPT_EARLY = 2_000;
const ID = /^([A-Za-z0-9]{1,32})-(\d{1,18})$/;

/**
 * Tell a page every change from now on, or from the id `after` on.
 *
 * @param {{ base?: string | URL, after?: string | null, timing?: Partial<typeof TIMING> }
 *   & Pick<Listeners, "onEvents"> & Partial<Listeners>} options `base`: the service's address
 * @returns {Pick<Live, "state" | "lastId" | "close">}
 */
export function connectLive({
  base = "/",
  after = null,
  onEvents,
  onReset = () => {},
  onState = () => {},
  isBusy = () => true,
  timing = {},
}) {
  const listeners = { onEvents, onReset, onState, isBusy };
  return new Live(new URL(base, document.baseURI), after, listeners, { ...TIMING, ...timing });
}

/** @param {string | null | undefined} text */
function parseId(text) {
  const match = ID.exec(text ?? "");
  return match?.[1] ? { epoch: match[1], n: Number(match[2]) } : null;
}

/** Where the page is in the log, and what came early. */
class Place {
  /** @param {string | null} after */
  constructor(after) {
    this.last = parseId(after);
    /** @type {Map<number, JobEvent>} */
    this.early = new Map();
  }

  get id() {
    return this.last && `${this.last.epoch}-${this.last.n}`;
  }

  /** @param {string} id */
  set(id) {
    this.last = parseId(id);
    this.early.clear();
  }

  /**
   * The events that are next in order, early ones that they release included.
   *
   * @param {JobEvent[]} events
   */
  take(events) {
    /** @type {JobEvent[]} */
    const fresh = [];
    for (const event of events) {
      const id = parseId(event.id);
      if (!id || !this.last || id.epoch !== this.last.epoch || id.n <= this.last.n) continue;
      if (this.early.size < MOST_KEPT_EARLY) this.early.set(id.n, event);
      for (let next = this.early.get(this.last.n + 1); next; next = this.early.get(this.last.n + 1)) {
        fresh.push(next);
        this.last = { epoch: this.last.epoch, n: this.last.n + 1 };
        this.early.delete(this.last.n);
      }
    }
    return fresh;
  }

  get hasHole() {
    return this.early.size > 0;
  }

  /**
   * Whether the log is further than the page; another epoch counts as further.
   *
   * @param {string | null} head
   */
  isBehind(head) {
    const id = parseId(head);
    return Boolean(id && this.last && (id.epoch !== this.last.epoch || id.n > this.last.n));
  }
}

/** One WebSocket from its ticket to its end. */
class Socket {
  /**
   * @param {Live} live
   * @param {{ onGreeted: (socket: Socket) => void, onEnded: (socket: Socket) => void }} listeners
   */
  constructor(live, { onGreeted, onEnded }) {
    this.live = live;
    this.onGreeted = onGreeted;
    this.onEnded = onEnded;
    this.isGreeted = false;
    this.hasSettled = false;
    this.hasEnded = false;
    /** @type {Set<number>} */
    this.timers = new Set();
    /** @type {number | null} */
    this.waiting = null;
    this.hellos = 0;
    this.limit = this.later(live.timing.answer, () => this.end());
    this.open().catch(() => this.end());
  }

  async open() {
    const { url } = await this.live.ticket();
    if (this.hasEnded) return;
    this.socket = new WebSocket(url);
    this.socket.addEventListener("open", () => this.hello());
    this.socket.addEventListener("message", (message) => this.receive(message.data));
    this.socket.addEventListener("close", () => this.end());
    this.socket.addEventListener("error", () => this.end());
  }

  /**
   * @param {number} milliseconds
   * @param {() => void} act
   */
  later(milliseconds, act) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, milliseconds);
    this.timers.add(timer);
    return timer;
  }

  /** @param {number} timer */
  cancel(timer) {
    clearTimeout(timer);
    this.timers.delete(timer);
  }

  /** @param {{ action: "hello", after: string | null } | { action: "ping" }} message */
  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  hello() {
    this.say({ action: "hello", after: this.live.place.id });
  }

  /** @param {string} text */
  receive(text) {
    if (this.hasEnded) return;
    /** @type {SocketMessage} */
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    // The gateway itself says { message } when it throttles, or when the function behind it failed: that is no answer.
    if (!ANSWERS.has(message.type)) {
      if (!this.isGreeted) this.end();
      return;
    }
    this.cancel(this.limit);
    if (message.type === "connected") this.greeted(message.head);
    else if (message.type === "events") this.live.deliver(message.events);
    else if (message.type === "reset") this.live.reset(message.head);
    else if (message.type === "heartbeat") this.live.target = message.head;
    this.check();
  }

  /** @param {string} head */
  greeted(head) {
    if (!this.live.place.last) this.live.reset(head);
    this.live.target = head;
    if (this.isGreeted) return;
    this.isGreeted = true;
    this.schedulePing();
    this.later(this.live.timing.answer, () => this.settle());
    this.later(this.live.timing.renew + (Math.random() - 0.5) * this.live.timing.renewSpread, () =>
      this.live.renewSocket(),
    );
    this.onGreeted(this);
  }

  schedulePing(idle = 0) {
    const { ping, idlePing } = this.live.timing;
    this.later(ping, () => {
      const isDue = this.live.isBusy() || idle + ping >= idlePing;
      if (isDue) this.ping();
      this.schedulePing(isDue ? 0 : idle + ping);
    });
  }

  ping() {
    this.say({ action: "ping" });
    this.cancel(this.limit);
    this.limit = this.later(this.live.timing.answer, () => this.end());
  }

  /** A socket counts as a success once it has lasted: a server that greets and hangs up is not to be hammered. */
  settle() {
    this.hasSettled = true;
    this.live.socketFailures = 0;
  }

  /** Asks again while something is missing, and starts over when asking does not help. */
  check() {
    const { live } = this;
    if (!this.isGreeted || live.socket !== this) return;
    live.showProgress();
    const place = live.place.id;
    if (!live.isBehind) {
      this.hellos = 0;
      if (this.waiting) this.cancel(this.waiting);
      this.waiting = null;
    } else if (!this.waiting) {
      this.waiting = this.later(live.timing.hole, () => {
        this.waiting = null;
        this.hellos = live.place.id === place ? this.hellos + 1 : 0;
        if (this.hellos > HELLOS_UNTIL_RECONNECT) this.end();
        else {
          this.hello();
          this.check();
        }
      });
    }
  }

  end() {
    if (this.hasEnded) return;
    this.hasEnded = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.socket?.close();
    this.onEnded(this);
  }
}

/** The event stream; a new EventSource each time the browser has given one up for good. */
class Stream {
  /**
   * @param {Live} live
   * @param {{ onGreeted: () => void, onFailed: (stream: Stream) => void }} listeners
   */
  constructor(live, { onGreeted, onFailed }) {
    this.live = live;
    this.onGreeted = onGreeted;
    this.onFailed = onFailed;
    this.failures = 0;
    this.isGreeted = false;
    this.isClosed = false;
    /** @type {EventSource | null} */
    this.source = null;
    this.timer = 0;
    this.open();
  }

  open() {
    if (typeof EventSource === "undefined") {
      this.failures = STREAM_TRIES;
      this.onFailed(this);
      return;
    }
    this.isGreeted = false;
    this.source = new EventSource(this.live.eventsUrl());
    this.source.addEventListener("message", (event) => {
      this.live.deliver([{ ...JSON.parse(event.data), id: event.lastEventId }]);
      if (this.live.place.isBehind(event.lastEventId)) this.reopen(0);
    });
    this.source.addEventListener("connection", (event) => {
      this.isGreeted = true;
      this.failures = 0;
      if (!this.live.place.last) this.live.reset(event.lastEventId);
      this.live.target = JSON.parse(event.data).head;
      this.onGreeted();
    });
    this.source.addEventListener("reset", (event) => this.live.reset(JSON.parse(event.data).head));
    this.source.addEventListener("error", () => this.ended());
  }

  /** Every answer ends: the browser comes back by itself, unless it was refused or nobody was there. */
  ended() {
    const wasAnswered = this.isGreeted;
    this.isGreeted = false;
    if (wasAnswered && this.source?.readyState !== EventSource.CLOSED) return;
    this.failures += 1;
    this.onFailed(this);
    if (!this.isClosed) this.reopen(this.live.pause(this.failures));
  }

  /** @param {number} milliseconds */
  reopen(milliseconds) {
    this.source?.close();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), milliseconds);
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.source?.close();
  }
}

/** The one connection of a page: which transport it has, and what to try next. */
class Live {
  /**
   * @param {URL} base
   * @param {string | null} after
   * @param {Listeners} listeners
   * @param {typeof TIMING} timing
   */
  constructor(base, after, { onEvents, onReset, onState, isBusy }, timing) {
    this.base = base;
    this.onEvents = onEvents;
    this.onReset = onReset;
    this.onState = onState;
    this.isBusy = isBusy;
    this.timing = timing;
    this.place = new Place(after);
    /** @type {string | null} */
    this.target = null;
    /** @type {LiveState | null} */
    this.state = null;
    /** @type {Socket | null} */
    this.socket = null;
    /** @type {Socket | null} */
    this.nextSocket = null;
    this.socketFailures = 0;
    this.socketTimer = 0;
    /** @type {Stream | null} */
    this.stream = null;
    /** @type {number | null} */
    this.polling = null;
    this.isClosed = false;
    this.onOnline = () => this.openSocket();
    this.onVisible = () => {
      if (document.visibilityState === "visible") this.lookNow();
    };
    addEventListener("online", this.onOnline);
    document.addEventListener("visibilitychange", this.onVisible);
    this.show("catching_up");
    this.openSocket();
  }

  get lastId() {
    return this.place.id;
  }

  get isBehind() {
    return this.place.hasHole || this.place.isBehind(this.target);
  }

  close() {
    this.isClosed = true;
    removeEventListener("online", this.onOnline);
    document.removeEventListener("visibilitychange", this.onVisible);
    clearTimeout(this.socketTimer);
    this.nextSocket?.end();
    this.socket?.end();
    this.stopFallbacks();
  }

  /** @returns {Promise<{ url: string }>} */
  async ticket() {
    const answer = await fetch(new URL("api/ws-tickets", this.base), {
      method: "POST",
      credentials: "same-origin",
      headers: { Accept: "application/json", "X-Requested-With": "dashboard" },
      signal: AbortSignal.timeout(this.timing.answer),
    });
    if (!answer.ok) throw new Error(`no ticket: HTTP ${answer.status}`);
    return answer.json();
  }

  eventsUrl() {
    const url = new URL("api/events", this.base);
    if (this.place.id) url.searchParams.set("last_event_id", this.place.id);
    return url;
  }

  /**
   * Milliseconds to wait after so many failures in a row: doubled each time, by chance between half and whole.
   *
   * @param {number} failures
   */
  pause(failures) {
    const longest = Math.min(this.timing.longestBackOff, this.timing.backOff * 2 ** Math.min(failures - 1, 16));
    return longest * (0.5 + Math.random() / 2);
  }

  /** @param {LiveState} state */
  show(state) {
    if (this.state === state) return;
    this.state = state;
    this.tell(() => this.onState(state));
  }

  showProgress() {
    this.show(this.isBehind ? "catching_up" : "live");
  }

  /**
   * A page's mistake must not end its connection.
   *
   * @param {() => void} act
   */
  tell(act) {
    try {
      act();
    } catch (error) {
      console.error(error);
    }
  }

  /** @param {JobEvent[]} events */
  deliver(events) {
    const fresh = this.place.take(events);
    if (fresh.length) this.tell(() => this.onEvents(fresh));
    if (this.stream?.isGreeted) this.showProgress();
  }

  /** @param {string} id */
  reset(id) {
    this.target = id;
    // A hello said twice is answered twice; what the page reads since the first answer holds for the second, too.
    if (id === this.place.id) return;
    this.place.set(id);
    this.tell(() => this.onReset());
  }

  openSocket() {
    clearTimeout(this.socketTimer);
    if (this.isClosed || this.nextSocket) return;
    this.nextSocket = new Socket(this, {
      onGreeted: (socket) => this.useSocket(socket),
      onEnded: (socket) => this.lostSocket(socket),
    });
  }

  renewSocket() {
    this.openSocket();
  }

  /** A tab that was frozen, or a machine that slept, has a socket of which only an answer can tell whether it lives. */
  lookNow() {
    if (this.socket) this.socket.ping();
    else this.openSocket();
    if (this.polling) this.poll();
  }

  /** @param {Socket} socket */
  useSocket(socket) {
    const before = this.socket;
    this.socket = socket;
    this.nextSocket = null;
    this.stopFallbacks();
    before?.end();
    this.showProgress();
  }

  /** @param {Socket} socket */
  lostSocket(socket) {
    if (socket === this.nextSocket) this.nextSocket = null;
    else if (socket === this.socket) this.socket = null;
    else return;
    if (!socket.hasSettled) this.socketFailures += 1;
    if (this.isClosed) return;
    if (!this.socket && !this.stream) this.show(this.polling ? "polling" : "catching_up");
    const hasFallback = this.socketFailures >= SOCKET_TRIES;
    if (hasFallback && !this.socket && !this.stream) this.openStream();
    const wait = hasFallback ? this.timing.upgrade * (0.75 + Math.random() / 2) : this.pause(this.socketFailures || 1);
    clearTimeout(this.socketTimer);
    this.socketTimer = setTimeout(() => this.openSocket(), wait);
  }

  openStream() {
    this.stream = new Stream(this, {
      onGreeted: () => this.streamWorks(),
      onFailed: (stream) => this.streamFailed(stream),
    });
  }

  streamWorks() {
    this.stopPolling();
    this.showProgress();
  }

  /** @param {Stream} stream */
  streamFailed(stream) {
    if (stream.failures >= STREAM_TRIES) this.startPolling();
    else if (!this.polling) this.show("catching_up");
  }

  startPolling() {
    this.show("polling");
    if (this.polling) return;
    this.polling = setInterval(() => this.poll(), this.timing.poll);
    this.poll();
  }

  stopPolling() {
    if (this.polling) clearInterval(this.polling);
    this.polling = null;
  }

  stopFallbacks() {
    this.stream?.close();
    this.stream = null;
    this.stopPolling();
  }

  /** One answer of the event stream, read as text. */
  async poll() {
    let text;
    try {
      const answer = await fetch(this.eventsUrl(), {
        credentials: "same-origin",
        signal: AbortSignal.timeout(this.timing.poll),
      });
      if (!answer.ok) return;
      text = await answer.text();
    } catch {
      return;
    }
    if (!this.polling) return;
    for (const block of text.split("\n\n")) this.takeBlock(fieldsOf(block));
  }

  /** @param {{ event?: string, id?: string, data?: string }} fields */
  takeBlock({ event = "message", id = "", data }) {
    if (data === undefined) return;
    const body = JSON.parse(data);
    if (event === "message") this.deliver([{ ...body, id }]);
    else if (event === "reset" || (event === "connection" && !this.place.last)) {
      this.reset(event === "reset" ? body.head : id);
    }
  }
}

/**
 * One block of an event stream by its fields' names.
 *
 * @param {string} block
 */
function fieldsOf(block) {
  return Object.fromEntries(
    block.split("\n").map((line) => {
      const colon = line.indexOf(": ");
      return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 2)];
    }),
  );
}
