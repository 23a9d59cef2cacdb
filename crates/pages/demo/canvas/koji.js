// One WebSocket speaking the Koji dialect, kept open: who we are, who is here, and events.
//
// It comes back after every close but 1000, 1001 and 1005, which mean "for good". Each time it is
// somebody new to the server, perhaps on another shard, so it says its user info again.

const PLATFORM = "@@KOJI_DISPATCH/";

/** Closes that nobody comes back from; Koji's own clients keep away after the same three. */
const FOR_GOOD = [1000, 1001, 1005];

/** The wait before attempt n is random between 0 and 500 ms * 2^n, but never above 20 s. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 20_000;

/** How long the server may take to say CONNECTED. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * @typedef {{name: "connecting"} | {name: "open"} | {name: "away"}
 *   | {name: "waiting", until: number}} State
 *   `until` is the `performance.now()` of the next attempt.
 *
 * @typedef {object} Handlers
 * @property {(state: State) => void} onState
 * @property {(clients: Map<string, object>) => void} onClients
 *   everyone on the shard, by client id; the objects are their user info, as they sent it
 * @property {(name: string, payload: unknown, latencyMs: number) => void} onEvent
 */
export class Koji {
  #url;
  #on;
  #socket = null;
  #userInfo = null;
  #failures = 0;
  #timer = 0;

  /** Who and where this connection is; null until the server has said so. */
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

  /** Connects now, cutting short a wait between attempts; no effect while there is a socket. */
  open() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.drop(), CONNECT_TIMEOUT_MS);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#lost(FOR_GOOD.includes(code));
    this.#on.onState({ name: "connecting" });
  }

  /** Leaves for good, with 1000. `open` comes back. */
  leave() {
    const socket = this.#forget();
    socket?.close(1000);
    clearTimeout(this.#timer);
    this.#on.onState({ name: "away" });
  }

  /** Gives up on a socket that has fallen silent, and tries again. */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#lost(false);
    socket.close();
  }

  /** Tells the shard who we are, now and after every reconnect. */
  setUserInfo(info) {
    this.#userInfo = info;
    this.emit(`${PLATFORM}SET_USER_INFO`, info);
  }

  /**
   * Sends an event to everyone on the shard, ourselves included, or to `recipients` only.
   *
   * Returns false, having sent nothing, while not connected.
   */
  emit(eventName, payload, recipients) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify({ eventName, payload, recipients }));
    return true;
  }

  #receive(text) {
    const { eventName, payload, latencyMs } = parsed(text);
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

  #lost(forGood) {
    this.#forget();
    clearTimeout(this.#timer);
    if (forGood) return this.#on.onState({ name: "away" });
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures++);
    const wait = Math.random() * ceiling;
    this.#timer = setTimeout(() => this.open(), wait);
    this.#on.onState({ name: "waiting", until: performance.now() + wait });
  }

  #forget() {
    const socket = this.#socket;
    if (socket) socket.onmessage = socket.onclose = null;
    this.#socket = this.clientId = this.shardName = null;
    return socket;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
