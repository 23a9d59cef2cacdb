/**
 * Mesa's Client: messages between a server and one user.
 *
 * The server sends hello first; the connection counts as open from then on. A server keeps no state of an
 * earlier connection, so a token from the options is sent after each hello, before any queued message.
 */

import { webSocketUrl } from "../core/address.js";
import { BOOLEAN, check, MILLISECONDS, OBJECT, SECRET, SIGNAL, type Expectations } from "../core/check.js";
import type { Connection, ConnectionState, OpenOptions, StateChange } from "../core/connection.js";
import { AuthenticationFailedError, type SwitchboardError } from "../core/errors.js";
import { byteLength, checkSize, type JsonObject } from "../core/json.js";
import type { Listener } from "../core/listeners.js";
import { resolveOptions, type ConnectionOptions, type OwnExpectations } from "../core/options.js";
import { EMIT_PROBE } from "../core/otherProtocol.js";
import { ReconnectingConnection } from "../core/reconnectingConnection.js";
import { withTimeout, type CallOptions } from "../core/timeout.js";
import type { AuthorizationOptions } from "../core/tokenRefresh.js";
import { Message } from "./message.js";

/**
 * Options of a client. `maxRetries` defaults to no limit. `reconnect` and `reconnectDelay` default to the
 * server's hello: with a reconnect interval the client reconnects, after that interval on average. With
 * `getToken` or `authorization` the client authenticates itself on each connection.
 */
export interface ClientOptions extends ConnectionOptions, AuthorizationOptions {
  /** Connects in the constructor. Default true; failures raise `error`. */
  readonly autoConnect?: boolean | undefined;
  /** Whether a client that authenticates itself receives its stored messages. Default true. */
  readonly shouldSync?: boolean | undefined;
}

/** Options of `authenticate`. */
export interface AuthenticateOptions extends CallOptions {
  /** Whether to receive the messages stored while the user was offline; false discards them. Default true. */
  readonly shouldSync?: boolean | undefined;
}

/** The expectations for the options that other clients do not have. */
const OWN_OPTIONS: OwnExpectations<ClientOptions> = { authorization: SECRET, autoConnect: BOOLEAN, shouldSync: BOOLEAN };

const AUTHENTICATE_OPTIONS: Expectations<AuthenticateOptions> = { signal: SIGNAL, timeout: MILLISECONDS, shouldSync: BOOLEAN };

/** How a connection came about. */
export interface ConnectionKind {
  /** It is the first connection of this client. */
  readonly isInitialConnection: boolean;
  /** It is the first since the client was created, or since the application disconnected it. */
  readonly isInitialSessionConnection: boolean;
  /** The client reconnected by itself after a lost connection. */
  readonly isAutomaticReconnection: boolean;
}

/** Details of `disconnected`. */
export interface Disconnection {
  /** Whether the client will reconnect by itself. */
  readonly willAttemptReconnect: boolean;
}

/** The events of a client and the arguments of their listeners. */
export interface ClientEvents {
  /** The server has sent hello. */
  connected: [kind: ConnectionKind];
  /** The server has accepted a token and sent this user; `{}` if it sends none. */
  authenticated: [user: unknown];
  /** A message, in the order of arrival; redelivered messages have a `sequence`. */
  message: [message: Message];
  /** A connection has closed; the code is 1006 if no close frame arrived. */
  disconnected: [code: number, reason: string, details: Disconnection];
  /** A bad frame, a failed attempt, a rejected token of the options or a failed listener. */
  error: [error: SwitchboardError];
  /** A state transition. */
  state: [change: StateChange];
}

/** The longest message; by default the server closes the connection on longer ones. */
const MESSAGE_BYTES_MAX = 1_048_576;

/** The members of a heartbeat, which the server answers. */
const HEARTBEAT = `"op":1,"d":{}`;

/** A call of `authenticate` that has no answer yet. */
interface PendingLogin {
  readonly text: string;
  readonly resolve: (user: never) => void;
  readonly reject: (error: unknown) => void;
}

/** A connection to a server that speaks the Mesa protocol. */
export class Client {
  /** The connection, for observing its state. */
  readonly connection: Connection<ClientOptions>;
  /** Whether the server has accepted a token on the current connection. */
  authenticated = false;
  /** In the order in which the server answers them. */
  readonly #logins = new Set<PendingLogin>();
  #token: string | undefined;
  #rejectedToken: string | undefined;
  #wasConnected = false;

  /** Throws `BadOptionError` for an invalid option; an invalid address makes `connect` reject with it. */
  constructor(url: string | URL, given: ClientOptions = {}) {
    resolveOptions(OWN_OPTIONS, given);
    const options: ClientOptions = {
      ...given,
      shouldReconnect: (code, reason) => {
        const decision = given.shouldReconnect?.(code, reason);
        if (decision !== undefined) return decision;
        // A server that announces an interval expects a reconnect even after 1000, but not with a rejected token.
        return this.#isRejection(code) && !given.getToken ? false : code === 1000 || undefined;
      },
    };
    this.connection = new ReconnectingConnection<ClientOptions>(
      {
        name: "Mesa",
        openMethod: "connect()",
        url: (token = options.authorization) => {
          this.#token = token;
          if (token && token === this.#rejectedToken) {
            throw new AuthenticationFailedError("the server has refused this token before; get a new one");
          }
          return webSocketUrl(url);
        },
        received: (message) => this.#receive(message, options),
        lost: (error) => {
          const { closeCode, reason } = error;
          const isRejection = this.#isRejection(closeCode);
          if (isRejection) this.#rejectedToken = this.#token;
          const why = `the server refused the token${reason && `: ${reason}`}`;
          const rejection = isRejection && new AuthenticationFailedError(why, { closeCode, reason });
          for (const { reject } of this.#logins) reject(rejection || error);
          this.authenticated = false;
        },
        probe: `{${HEARTBEAT}}`,
        hello: { name: "hello", probe: `{${HEARTBEAT},${EMIT_PROBE}}` },
        prefix: "",
      },
      resolveOptions(OWN_OPTIONS, options),
    );
    const { listeners } = this.connection;
    this.connection.onChange(({ previous, code, reason, willReconnect }) => {
      const details = { willAttemptReconnect: willReconnect };
      if (previous === "connected") listeners.call("disconnected", code, reason, details);
    });
    // The `error` event carries the failure.
    if (options.autoConnect ?? true) this.connect({ retry: options.reconnect }).catch(() => {});
  }

  /** `idle`, `connecting`, `connected`, `reconnecting` or `closed`. */
  get state(): ConnectionState {
    return this.connection.state;
  }

  /** Resolves at the server's hello; rejects if the first attempt fails, unless `retry` is set. */
  connect(options?: OpenOptions): Promise<void> {
    // An explicit call tries a rejected token again.
    this.#rejectedToken = undefined;
    return this.connection.open(options);
  }

  /** Disconnects without reconnecting, after sent messages; `connect` connects again. Never rejects. */
  disconnect(options?: CallOptions): Promise<void> {
    return this.connection.close(options);
  }

  /**
   * Authenticates as soon as there is a connection; `data` holds the `token`. Resolves with the user that
   * the server sends. Default timeout 10 s. It is not repeated after a reconnect: call it at `connected`,
   * or use `authorization` or `getToken`.
   *
   * Rejects with `AuthenticationFailedError` if the server rejects the token, with `DisconnectedError`,
   * `NotConnectedError`, `AbortedError`, `BadDataError`, and with `TimeoutError` if it does not answer.
   */
  authenticate<User = unknown>(data: object, options?: AuthenticateOptions): Promise<User> {
    const wait = { subject: "answer to the token", timeout: 10_000, options, known: AUTHENTICATE_OPTIONS };
    return withTimeout<User, AuthenticateOptions>(wait, (resolve, reject) => {
      check("the data", data, OBJECT);
      if (this.state === "idle" || this.state === "closed") throw this.connection.notConnected();
      const text = new Message(2, { ...data, shouldSync: options?.shouldSync ?? true }).serialize();
      const login = { text, resolve, reject };
      this.#logins.add(login);
      this.connection.send(text, true);
      return () => this.#logins.delete(login);
    });
  }

  /**
   * Sends a message, or queues it while disconnected. Throws `NotConnectedError`, `QueueFullError`,
   * `TooLargeError`, `BadDataError` or `BadOptionError`.
   */
  send(message: Message): void;
  /** Sends `new Message(opcode, data, type)`. */
  send(opcode: number, data?: unknown, type?: string): void;
  send(message: Message | number, data?: unknown, type?: string): void {
    const text = (message instanceof Message ? message : new Message(message, data, type)).serialize();
    checkSize("the message", byteLength(text), "bytes", "the limit", MESSAGE_BYTES_MAX);
    this.connection.send(text);
  }

  /** Calls `listener` for every event of that name. `off` removes it. */
  on<E extends keyof ClientEvents>(event: E, listener: (...values: ClientEvents[E]) => unknown): this {
    this.connection.listeners.add(event, listener);
    return this;
  }

  /** Removes a listener, or all listeners of an event. */
  off(event: keyof ClientEvents, listener?: Listener): this {
    this.connection.listeners.remove(event, listener);
    return this;
  }

  #receive({ op, d, t, s }: JsonObject, options: ClientOptions): boolean | void {
    const { listeners } = this.connection;
    if (op === 1) this.connection.send(`{"op":11,"d":{}}`, true);
    else if (op === 10) this.#hello(Object(d) as JsonObject, options);
    else if (op === 22) {
      this.authenticated = true;
      const [login] = this.#logins;
      this.#logins.delete(login as PendingLogin);
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
    // Jitter spreads the delay below this ceiling, so its average is the server's interval.
    const reconnectDelay = Math.max(500, 2 * (interval as number)) || 500;
    const reconnect = (interval as number) > 0;
    this.connection.options = resolveOptions(OWN_OPTIONS, current, { reconnect, reconnectDelay }, options);
    // A repeated hello changes only the options.
    if (state === "connected") return;
    const isAutomaticReconnection = state === "reconnecting";
    const isInitialConnection = !this.#wasConnected;
    this.#wasConnected = true;
    if (this.#token) this.authenticate({ token: this.#token }, { shouldSync: options.shouldSync }).catch(listeners.report);
    this.connection.ready(
      "connected",
      { isInitialConnection, isInitialSessionConnection: !isAutomaticReconnection, isAutomaticReconnection },
      [...this.#logins].map(({ text }) => text),
    );
  }

  /** A close with 1008 rejects a login if one is pending or none has succeeded; otherwise it limits the rate. */
  #isRejection(code: number): boolean {
    return code === 1008 && (!this.authenticated || !!this.#logins.size);
  }
}
