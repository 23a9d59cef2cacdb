// A client for the emit protocol that reconnects.
//
// It reconnects with full jitter, matches replies to requests, and calls `onFrame` for every sent or
// received frame. A new connection is in no room, so its owner joins again in `onState`.

/** The time limit for a reply, and for the opening handshake. */
const REPLY_TIMEOUT_MS = 10_000;

/** The delay before attempt n is random between 0 and 500 ms * 2^n, at most 20 s. */
const RETRY_DELAY_MS = 500;
const RETRY_DELAY_MAX_MS = 20_000;

/** A request got no reply; its code is `closed` or `timeout`. */
export class RequestError extends Error {
  constructor(code, event) {
    super(`no reply to ${event}: ${code}`);
    this.code = code;
  }
}

/**
 * @typedef {{name: "connecting"} | {name: "open"} | {name: "waiting", until: number}} State
 *   `until` is the `performance.now()` of the next attempt.
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
   * @param {{onState(state: State): void, onFrame(direction: "out" | "in"): void,
   *          onEvent(event: string, data: unknown): void}} on
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects now, ending a retry delay; has no effect while a socket exists. */
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

  /** Drops the current socket, without waiting for its closing handshake, and schedules a reconnect. */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    clearTimeout(this.#timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    for (const { reject, event } of this.#requests.values()) reject(new RequestError("closed", event));
    this.#requests.clear();

    const ceiling = Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_MS * 2 ** this.#failures++);
    const delay = Math.random() * ceiling;
    this.#timer = setTimeout(() => this.open(), delay);
    this.#on.onState({ name: "waiting", until: performance.now() + delay });
  }

  /** Sends an event. Returns false, and sends nothing, while disconnected. */
  emit(event, data) {
    return this.#send({ event, data });
  }

  /** Sends a request and resolves with its reply; rejects with {@link RequestError}. */
  request(event, data) {
    return new Promise((resolve, reject) => {
      const ackId = `a${this.#nextAckId++}`;
      const timer = setTimeout(() => {
        this.#requests.delete(ackId);
        reject(new RequestError("timeout", event));
      }, REPLY_TIMEOUT_MS);
      const settle = (callback) => (value) => {
        clearTimeout(timer);
        callback(value);
      };
      this.#requests.set(ackId, { event, resolve: settle(resolve), reject: settle(reject) });
      if (!this.#send({ event, data, ackId })) {
        this.#requests.delete(ackId);
        settle(reject)(new RequestError("closed", event));
      }
    });
  }

  #send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(message));
    this.#on.onFrame("out");
    return true;
  }

  #receive(payload) {
    // Only a frame proves that the server works. A server that accepts connections and closes them at
    // once must not be retried with the shortest delay forever.
    this.#failures = 0;
    const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
    const value = parse(text);
    const isReply = value?.type === "ack";
    const request = isReply ? this.#requests.get(value.ackId) : undefined;
    this.#on.onFrame("in");

    if (request) {
      this.#requests.delete(value.ackId);
      request.resolve(value.data ?? {});
    } else if (!isReply && typeof value?.event === "string") {
      this.#on.onEvent(value.event, value.data ?? {});
    }
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
