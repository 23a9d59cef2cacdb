// One WebSocket speaking the emit dialect, kept open.
//
// It reconnects with full jitter, matches replies to requests, and shows every frame it sends or
// receives to `onFrame`. It knows nothing of rooms: after a reconnect the server has forgotten
// this page, so `onState` is where the owner joins again.

/** How long a request waits for its reply, and a socket for its opening handshake. */
const REPLY_TIMEOUT_MS = 10_000;

/** The wait before attempt n is random between 0 and 500 ms * 2^n, but never above 20 s. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 20_000;

/** Why a request got no reply: `closed` or `timeout`. */
export class NoReply extends Error {
  constructor(code, event) {
    super(`no reply to ${event}: ${code}`);
    this.code = code;
  }
}

/**
 * @typedef {{name: "connecting"} | {name: "open"} | {name: "waiting", until: number}} State
 *   `until` is the `performance.now()` of the next attempt.
 *
 * @typedef {object} Frame
 * @property {"out" | "in"} direction
 * @property {string} text        the frame as it was on the wire
 * @property {unknown} value      its JSON, or undefined when it is not JSON
 * @property {string} event       its event, or that of the request it answers
 * @property {boolean} isReply
 * @property {Date} at
 */
export class Connection {
  #url;
  #on;
  #socket = null;
  #requests = new Map();
  #nextAckId = 1;
  #failures = 0;
  #timer = 0;

  /**
   * @param {string} url
   * @param {{onState(state: State): void, onFrame(frame: Frame): void,
   *          onEvent(event: string, data: unknown): void}} on
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Opens the socket now, cutting short a wait between attempts; no effect while one exists. */
  open() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#timer = setTimeout(() => this.drop(), REPLY_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#on.onState({ name: "open" });
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.drop();
    this.#on.onState({ name: "connecting" });
  }

  /** Gives up on the current socket, without waiting for its close handshake, and tries again. */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    clearTimeout(this.#timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    for (const { reject, event } of this.#requests.values()) reject(new NoReply("closed", event));
    this.#requests.clear();

    const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures++);
    const wait = Math.random() * ceiling;
    this.#timer = setTimeout(() => this.open(), wait);
    this.#on.onState({ name: "waiting", until: performance.now() + wait });
  }

  /** Sends an event; returns false, having sent nothing, while not open. */
  emit(event, data) {
    return this.#send({ event, data });
  }

  /** Sends a request and resolves to its reply; rejects with {@link NoReply}. */
  request(event, data) {
    return new Promise((resolve, reject) => {
      const ackId = `a${this.#nextAckId++}`;
      const timer = setTimeout(() => {
        this.#requests.delete(ackId);
        reject(new NoReply("timeout", event));
      }, REPLY_TIMEOUT_MS);
      const settle = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      this.#requests.set(ackId, { event, resolve: settle(resolve), reject: settle(reject) });
      if (!this.#send({ event, data, ackId })) {
        this.#requests.delete(ackId);
        settle(reject)(new NoReply("closed", event));
      }
    });
  }

  #send(message) {
    if (!this.isOpen) return false;
    const text = JSON.stringify(message);
    this.#socket.send(text);
    const { event } = message;
    this.#on.onFrame(
      { direction: "out", text, value: message, event, isReply: false, at: new Date() },
    );
    return true;
  }

  #receive(payload) {
    // Only a frame proves that the server is well: one that accepts and at once closes again must
    // not be retried at the shortest wait for ever.
    this.#failures = 0;
    const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
    const value = parsed(text);
    const isReply = value?.type === "ack";
    const request = isReply ? this.#requests.get(value.ackId) : undefined;
    const event = isReply ? request?.event ?? "" : String(value?.event ?? "");
    this.#on.onFrame({ direction: "in", text, value, event, isReply, at: new Date() });

    if (request) {
      this.#requests.delete(value.ackId);
      request.resolve(value.data ?? {});
    } else if (!isReply && typeof value?.event === "string") {
      this.#on.onEvent(value.event, value.data ?? {});
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
