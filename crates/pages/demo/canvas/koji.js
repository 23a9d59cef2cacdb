// A client for the Koji protocol that reconnects: user info, the member list, and events.
//
// It reconnects after every close except 1000, 1001 and 1005, which are final. Each connection has a new
// client id and perhaps another shard, so the client sends its user info again.

const PLATFORM = "@@KOJI_DISPATCH/";

/** Final close codes, the same as in Koji's own clients. */
const FINAL_CODES = [1000, 1001, 1005];

/** The delay before attempt n is random between 0 and 500 ms * 2^n, at most 20 s. */
const RETRY_DELAY_MS = 500;
const RETRY_DELAY_MAX_MS = 20_000;

/** The time limit for the server's CONNECTED. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * @typedef {{name: "connecting"} | {name: "open"} | {name: "away"}
 *   | {name: "waiting", until: number}} State
 *   `until` is the `performance.now()` of the next attempt.
 *
 * @typedef {object} Handlers
 * @property {(state: State) => void} onState
 * @property {(clients: Map<string, object>) => void} onClients
 *   the members of the shard by client id, with their user info as received
 * @property {(name: string, payload: unknown, latencyMs: number) => void} onEvent
 */
export class Koji {
  #url;
  #on;
  #socket = null;
  #userInfo = null;
  #failures = 0;
  #timer = 0;

  /** The identity of this connection; null until CONNECTED. */
  clientId = null;
  shardName = null;

  /**
   * @param {string} url
   * @param {Handlers} on
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  get isOpen() {
    return this.clientId !== null && this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects now, ending a retry delay; has no effect while a socket exists. */
  open() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.drop(), CONNECT_TIMEOUT_MS);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#lost(FINAL_CODES.includes(code));
    this.#on.onState({ name: "connecting" });
  }

  /** Closes with code 1000 without reconnecting. `open` connects again. */
  leave() {
    const socket = this.#release();
    socket?.close(1000);
    clearTimeout(this.#timer);
    this.#on.onState({ name: "away" });
  }

  /** Drops a socket that no longer receives messages, and reconnects. */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#lost(false);
    socket.close();
  }

  /** Publishes the user info to the shard, now and after every reconnect. */
  setUserInfo(info) {
    this.#userInfo = info;
    this.emit(`${PLATFORM}SET_USER_INFO`, info);
  }

  /**
   * Sends an event to all members of the shard, this client included, or only to `recipients`.
   *
   * Returns false, and sends nothing, while disconnected.
   */
  emit(eventName, payload, recipients) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify({ eventName, payload, recipients }));
    return true;
  }

  #receive(text) {
    const { eventName, payload, latencyMs } = parse(text);
    if (eventName === `${PLATFORM}CONNECTED`) {
      clearTimeout(this.#timer);
      this.#failures = 0;
      this.clientId = payload.clientId;
      this.shardName = payload.shardName;
      if (this.#userInfo) this.setUserInfo(this.#userInfo);
      this.#on.onState({ name: "open" });
    } else if (eventName === `${PLATFORM}CONNECTED_CLIENTS_CHANGED`) {
      const entries = Object.entries(payload.connectedClients);
      this.#on.onClients(new Map(entries.map(([id, { userInfo }]) => [id, userInfo])));
    } else if (typeof eventName === "string") {
      this.#on.onEvent(eventName, payload, latencyMs);
    }
  }

  #lost(isFinal) {
    this.#release();
    clearTimeout(this.#timer);
    if (isFinal) return this.#on.onState({ name: "away" });
    const ceiling = Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_MS * 2 ** this.#failures++);
    const delay = Math.random() * ceiling;
    this.#timer = setTimeout(() => this.open(), delay);
    this.#on.onState({ name: "waiting", until: performance.now() + delay });
  }

  #release() {
    const socket = this.#socket;
    if (socket) socket.onmessage = socket.onclose = null;
    this.#socket = this.clientId = this.shardName = null;
    return socket;
  }
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
