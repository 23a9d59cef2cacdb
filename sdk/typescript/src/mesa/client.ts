/**
 * Mesa's Client: messages of a server to a user, and back.
 *
 * The server speaks first, with hello; before that there is no connection. It knows nothing of one that
 * was there before, so a token that is known is shown again after each hello, before anything else.
 */

import {
  connection,
  type Connection,
  type ConnectionState,
  type OpenOptions,
  type StateChange,
} from "../core/connection.js";
import { within, type CallOptions } from "../core/timeout.js";
import {
  errorClass,
  NotConnectedError,
  type CloseInfo,
  type DisconnectedError,
  type SwitchboardError,
} from "../core/errors.js";
import { byteLength, checkSize, type JsonObject } from "../core/json.js";
import { resolve, type ConnectionOptions } from "../core/options.js";
import type { AuthorizationOptions } from "../core/tokenRefresh.js";
import { Message } from "./message.js";

/** The server closed on a token, or for want of one, with 1008. Code `refused`. */
export const AuthenticationError = /* @__PURE__ */ errorClass<CloseInfo>("refused");
export type AuthenticationError = InstanceType<typeof AuthenticationError>;

/**
 * Options of a client. `reconnect` and `reconnectDelay` are the server's to say unless they are given:
 * it comes back if hello has an interval, and then waits so long on average before its first try.
 * `maxRetries` is without end. `getToken` and `authorization` are for a client that authenticates
 * itself at each connection.
 */
export interface ClientOptions extends ConnectionOptions, AuthorizationOptions {
  /** Connects at once. Default true; what goes wrong is told by `error`. */
  readonly autoConnect?: boolean | undefined;
  /** Whether a client that authenticates itself hears what waited. Default true. */
  readonly shouldSync?: boolean | undefined;
}

/** How `authenticate` is done. */
export interface AuthenticateOptions extends CallOptions {
  /** Whether to hear what waited while the user was away; otherwise it is thrown away. Default true. */
  readonly shouldSync?: boolean | undefined;
}

/** Which connection of the client's it is. */
export interface ConnectionKind {
  /** The first of all. */
  readonly isInitialConnection: boolean;
  /** The first since the client was made, or was disconnected by its program. */
  readonly isInitialSessionConnection: boolean;
  /** It came by itself after one that was lost. */
  readonly isAutomaticReconnection: boolean;
}

/** What `disconnected` says besides the close. */
export interface Disconnection {
  /** Whether it will come back by itself. */
  readonly willAttemptReconnect: boolean;
}

/** What listeners are called with. */
export interface ClientEvents {
  /** Hello has come. */
  connected: [kind: ConnectionKind];
  /** The server has accepted a token, and says this of its user; `{}` where it says nothing. */
  authenticated: [user: unknown];
  /** A message, in the order they came; those that waited have a `sequence`. */
  message: [message: Message];
  /** A connection has gone; the code is 1006 where there was no close frame. */
  disconnected: [code: number, reason: string, about: Disconnection];
  /** A bad frame, a failed try, a refused token of the options, a listener that threw. */
  error: [error: SwitchboardError];
  /** Every step of the state machine. */
  state: [change: StateChange];
}

/** The longest message; the server closes on longer ones, unless it is set otherwise there. */
const MESSAGE_BYTES_MAX = 1_048_576;

/** A call of `authenticate` that waits. */
interface PendingLogin {
  readonly text: string;
  readonly resolve: (user: never) => void;
  readonly reject: (error: unknown) => void;
}

/** A connection to a server that speaks Mesa. */
export class Client {
  /** The state machine, for those who want to watch it. */
  readonly connection: Connection<ClientOptions>;
  /** Whether the server has accepted a token on the connection there is now. */
  authenticated = false;
  /** In the order they are answered. */
  readonly #logins = new Set<PendingLogin>();
  #token: string | undefined;
  #refusedToken: string | undefined;
  #wasConnected = false;

  /** `connect` rejects with `OptionError` if the address is none. */
  constructor(url: string | URL, given: ClientOptions = {}) {
    const options: ClientOptions = {
      ...given,
      shouldReconnect: (code, reason) => given.shouldReconnect?.(code, reason) ?? this.#allowsReconnect(code),
    };
    this.connection = connection<ClientOptions>(
      {
        url: (token = options.authorization) => {
          this.#token = token;
          if (token && token === this.#refusedToken) throw new AuthenticationError("this token was refused");
          return `${url}`;
        },
        received: (message) => this.#receive(message, options),
        lost: (error) => this.#lost(error),
        probe: `{"op":1,"d":{}}`,
        prefix: "",
      },
      resolve(options),
    );
    this.connection.onChange(({ previous, code, reason, willReconnect }) => {
      const about = { willAttemptReconnect: willReconnect };
      if (previous === "connected") this.connection.listeners.call("disconnected", code, reason, about);
    });
    // Whoever listens for errors is told why it failed.
    if (options.autoConnect ?? true) this.connect({ retry: options.reconnect }).catch(() => {});
  }

  /** `idle`, `connecting`, `connected`, `reconnecting` or `closed`. */
  get state(): ConnectionState {
    return this.connection.state;
  }

  /** Resolves at hello; rejects if the first connection fails, unless `retry` is set. */
  connect(options?: OpenOptions): Promise<void> {
    // Who serverRequests may know that the token is good now.
    this.#refusedToken = undefined;
    return this.connection.open(options);
  }

  /** Leaves for good, behind what was sent; `connect` comes back. Never rejects. */
  disconnect(options?: CallOptions): Promise<void> {
    return this.connection.close(options);
  }

  /**
   * Shows the server who we are, as soon as there is a connection; `data` holds the `token`. Resolves
   * with what the server says of the user. Waits 10 s unless `timeout` says otherwise. It is not said
   * again after a reconnect: do that at `connected`, or use `authorization` or `getToken`.
   *
   * Rejects with `AuthenticationError` if the server closes on it, with `DisconnectedError`,
   * `NotConnectedError`, `AbortedError`, `EncodeError`, and with `TimeoutError` where a server refuses
   * without a word.
   */
  authenticate<User = unknown>(data: object, options?: AuthenticateOptions): Promise<User> {
    return within<User>(10_000, options, "answer", (resolve, reject) => {
      if (this.state === "idle" || this.state === "closed") throw new NotConnectedError("no connection");
      const text = new Message(2, { ...data, shouldSync: options?.shouldSync ?? true }).serialize();
      const login = { text, resolve, reject };
      this.#logins.add(login);
      this.connection.send(text, true);
      return () => this.#logins.delete(login);
    });
  }

  /**
   * Sends a message, or keeps it for the next connection. Throws `NotConnectedError`,
   * `QueueFullError`, `TooLargeError`, `EncodeError`.
   */
  send(message: Message): void;
  /** Sends `new Message(opcode, data, type)`. */
  send(opcode: number, data?: unknown, type?: string): void;
  send(message: Message | number, data?: unknown, type?: string): void {
    const text = (message instanceof Message ? message : new Message(message, data, type)).serialize();
    checkSize(byteLength(text), MESSAGE_BYTES_MAX);
    this.connection.send(text);
  }

  /** Calls `listener` for every event of that name. Returns its own undo. */
  on<E extends keyof ClientEvents>(event: E, listener: (...values: ClientEvents[E]) => unknown): () => void {
    return this.connection.listeners.add(event, listener);
  }

  #receive({ op, d, t, s }: JsonObject, options: ClientOptions): boolean | void {
    const { listeners } = this.connection;
    if (op === 1) this.connection.send(`{"op":11,"d":{}}`, true);
    else if (op === 10) this.#hello(Object(d) as JsonObject, options);
    else if (op === 22) {
      this.authenticated = true;
      const [login] = this.#logins;
      if (login) this.#logins.delete(login);
      login?.resolve(d as never);
      listeners.call("authenticated", d);
    } else if (op !== 11) {
      if (typeof op !== "number" || (t && typeof t !== "string")) return false;
      const sequence = typeof s === "number" && s ? s : undefined;
      listeners.call("message", Object.assign(new Message(op, d ?? {}, t as string), { sequence }));
    }
  }

  #hello({ c_reconnect_interval: interval }: JsonObject, options: ClientOptions): void {
    const { listeners, options: current, state } = this.connection;
    // Evenly spread below twice the interval, so that it is what the server asked for on average.
    const reconnectDelay = Math.max(500, 2 * (interval as number)) || 500;
    const asked = { reconnect: (interval as number) > 0, reconnectDelay };
    this.connection.options = resolve<ClientOptions>(current, asked, options);
    // Once is enough.
    if (state === "connected") return;
    const isAutomaticReconnection = state === "reconnecting";
    const isInitialConnection = !this.#wasConnected;
    this.#wasConnected = true;
    // Nobody waits for this one; who listens for errors hears of it.
    if (this.#token) this.authenticate({ token: this.#token }, options).catch(listeners.report);
    this.connection.ready(
      "connected",
      { isInitialConnection, isInitialSessionConnection: !isAutomaticReconnection, isAutomaticReconnection },
      [...this.#logins].map(({ text }) => text),
    );
  }

  #lost(error: DisconnectedError): void {
    const { closeCode, reason } = error;
    const isRefusal = this.#isRefusal(closeCode);
    if (isRefusal) this.#refusedToken = this.#token;
    const failure = isRefusal ? new AuthenticationError(`refused: ${reason}`, { closeCode, reason }) : error;
    for (const { reject } of this.#logins) reject(failure);
    this.authenticated = false;
  }

  /** 1008 also comes for too many messages, but not to one who waits for an answer, or has none. */
  #isRefusal(code: number): boolean {
    return code === 1008 && (!this.authenticated || !!this.#logins.size);
  }

  /** The server that announces an interval wants us back also after 1000; with a refused token it does not. */
  #allowsReconnect(code: number): boolean | undefined {
    return this.#isRefusal(code) && !this.connection.options.getToken ? false : code === 1000 || undefined;
  }
}
