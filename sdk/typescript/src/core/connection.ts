/**
 * One connection to a server, kept open: the only place that holds a socket, a timer or a state.
 *
 * ```text
 * idle ─ open ─▶ connecting ─ ready ─▶ connected ─ lost ─▶ reconnecting ─ ready ─▶ connected
 *                     └──────────── cannot, may not, or close ────────┴──────────▶ closed ─ open ─▶ …
 * ```
 *
 * What the frames mean is the dialect's matter. Of a socket that was given up nothing is heard any
 * more, so at most one counts at any moment.
 */

import { backoff } from "./backoff.js";
import { comesBack, TOO_FAST } from "./closeCodes.js";
import { after, timedOut, within, type Wait } from "./deadline.js";
import {
  ConnectError,
  DisconnectedError,
  NotConnectedError,
  OptionError,
  TokenError,
  type SwitchboardError,
} from "./errors.js";
import { listenerError, Listeners } from "./listeners.js";
import type { Resolved, TokenReason, WebSocketLike } from "./options.js";
import { Queue } from "./queue.js";
import { mayBeOnline, onWake } from "./wake.js";

export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** A step of the state machine. A try that failed is a step from `reconnecting` to itself. */
export interface StateChange {
  readonly state: ConnectionState;
  readonly previous: ConnectionState;
  /** The close that led here; 1006 where there was no close frame, 0 where there was no close. */
  readonly code: number;
  readonly reason: string;
  /** Whether it will come back by itself. */
  readonly willReconnect: boolean;
  /** Tries since there was a connection that worked. */
  readonly attempt: number;
  /** Until the next try, in ms. */
  readonly delay: number;
  /** What failed, where it was not simply a close. */
  readonly error: SwitchboardError | undefined;
}

export interface OpenOptions extends Wait {
  /** Goes on trying where the first try fails, as it would later. Default false: it rejects. */
  readonly retry?: boolean | undefined;
}

/** What a protocol makes of a connection. */
export interface Dialect {
  /** Where to connect. */
  url(token: string | undefined): string;
  /** The socket is open; the dialect calls `ready` when it may be used. */
  opened(): void;
  received(frame: unknown): void;
  /** The connection is gone; called before anybody is told. */
  lost(error: SwitchboardError): void;
  /** A message that makes the server say something. */
  probe(): string;
  /** Begins the names of the connection's own events, and of none that a server can send. */
  readonly prefix: string;
}

/** Without a close frame: cut, silent, or never open. */
const CUT = 1006;

/** The `readyState` of a WebSocket that can send. */
const OPEN = 1;

export class Connection {
  /** May be replaced; that counts from the next try on. */
  options: Resolved;
  readonly listeners: Listeners;
  readonly #dialect: Dialect;
  readonly #queue = new Queue();
  readonly #waiting = new Set<(error?: Error) => void>();

  #state: ConnectionState = "idle";
  #socket: WebSocketLike | undefined;
  /** The try under way, from before its token until its socket is given up. */
  #attempt: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** From `open` until it is closed. */
  #active: AbortController | undefined;
  #failures = 0;
  /** Something was heard since the watchdog looked last. */
  #heard = false;
  #probing = false;
  /** Whether a failure may be followed by another try. */
  #persistent = false;
  /** There was a connection since `open`. */
  #opened = false;
  /** The server asked for a long wait, which nothing cuts short. */
  #slower = false;

  constructor(dialect: Dialect, options: Resolved) {
    this.#dialect = dialect;
    this.options = options;
    this.listeners = new Listeners(`${dialect.prefix}error`);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Calls `listener` at every step; what it returns ends that. */
  onChange(listener: (change: StateChange) => void): () => void {
    return this.listeners.add(`${this.#dialect.prefix}state`, listener);
  }

  /** Resolves when connected; at once if it is. Rejects when it will not be, or not in time. */
  open({ retry = false, ...wait }: OpenOptions = {}): Promise<void> {
    return within<void>(wait, "connection", (resolve, reject) => {
      if (this.#state === "connected") return resolve();
      const settle = (error?: Error) => (error ? reject(error) : resolve());
      this.#waiting.add(settle);
      if (this.#isOver()) this.#start(retry);
      // Who asks now does not want to sit out a long wait.
      else this.#wake();
      return () => {
        this.#waiting.delete(settle);
        // Who started it gave up, and nobody else waits: an unwanted connection must not appear.
        if (!this.#opened && !this.#waiting.size) void this.close();
      };
    });
  }

  /** Closes for good, with 1000. Resolves when the server has answered, or the time is up. */
  close({ signal, timeout = this.options.closeTimeout }: Wait = {}): Promise<void> {
    const socket = this.#release();
    const closed = within<void>({ signal, timeout }, "close", (resolve) => {
      if (!socket) return resolve();
      socket.onclose = () => resolve();
      socket.close(1000);
    });
    if (!this.#isOver()) this.#end({ code: 1000 });
    // Nobody has to wait for a close, so it must not reject.
    return closed.catch(() => {});
  }

  /** The connection may be used. `introduction` is sent first, and `about` is told to listeners. */
  ready(about: unknown, introduction: readonly string[] = []): void {
    this.#persistent = this.#opened = true;
    for (const message of introduction) this.#socket?.send(message);
    this.#watch();
    this.#step("connected", {}, about);
    // Behind what the listeners sent, so that they can join again before the rest is sent.
    if (this.#state === "connected") for (const message of this.#queue.drain()) this.send(message);
  }

  /**
   * Sends now, or keeps it for the next connection. False if it was volatile and there is none;
   * throws if there will be none, or if too much is kept.
   */
  send(message: string, volatile = false): boolean {
    const { queueBytesMax } = this.options;
    // A socket that is closing would take it and send it nowhere.
    if (this.#state === "connected" && this.#socket?.readyState === OPEN) this.#socket.send(message);
    else if (volatile) return false;
    else if (this.#state === "closed" || !queueBytesMax) throw new NotConnectedError("not connected");
    else this.#queue.push(message, queueBytesMax);
    return true;
  }

  #isOver(): boolean {
    return this.#state === "idle" || this.#state === "closed";
  }

  #start(retry: boolean): void {
    this.#failures = 0;
    this.#persistent = retry;
    this.#opened = false;
    this.#active = new AbortController();
    onWake(() => this.#wake(), this.#active.signal);
    this.#step("connecting", {});
    if (this.#state === "connecting") void this.#try("connect");
  }

  async #try(reason: TokenReason): Promise<void> {
    const { connectTimeout, getToken, WebSocket = globalThis.WebSocket } = this.options;
    const { signal } = (this.#attempt = new AbortController());
    const failed = (error: SwitchboardError) => signal.aborted || this.#lost(CUT, error.message, error);
    this.#timer = after(connectTimeout, () => failed(timedOut("connection", connectTimeout)));
    let token: string | undefined;
    try {
      token = await getToken?.({ reason, signal });
    } catch (error) {
      return void failed(new TokenError("getToken failed", { cause: error }));
    }
    if (signal.aborted) return;
    try {
      this.#listen(new WebSocket(this.#dialect.url(token)));
    } catch (error) {
      // Node 20 has no WebSocket, and browsers refuse some addresses.
      failed(new OptionError("no WebSocket", { cause: error }));
    }
  }

  #listen(socket: WebSocketLike): void {
    this.#socket = socket;
    socket.onopen = () => this.#dialect.opened();
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.#lost(code, reason);
    socket.onmessage = ({ data }: { data: unknown }) => {
      this.#heard = true;
      // Only this proves that a server is well: one that accepts and closes is a failure.
      this.#failures = 0;
      try {
        this.#dialect.received(data);
      } catch (error) {
        this.listeners.report(error as SwitchboardError);
      }
    };
    // A close follows. Without a listener `ws` would throw the error into the void.
    socket.onerror = () => {};
  }

  /** Forgets the socket and all that runs for it; gives it back to be closed. */
  #release(): WebSocketLike | undefined {
    const socket = this.#socket;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    this.#socket = undefined;
    this.#attempt?.abort();
    this.#attempt = undefined;
    clearTimeout(this.#timer);
    this.#probing = false;
    return socket;
  }

  #lost(code: number, reason: string, cause?: SwitchboardError): void {
    this.#release()?.close();
    const about = { code, reason, error: cause ?? this.#refusal(code, reason) };
    const { reconnect, maxRetries, reconnectDelay, maxReconnectDelay } = this.options;
    const mayTry = reconnect && this.#persistent && this.#failures < maxRetries;
    if (!mayTry || !this.#comesBack(code, reason)) return this.#end(about);
    this.#slower = code === TOO_FAST;
    const delay = this.#slower
      ? maxReconnectDelay * (0.5 + Math.random() / 2)
      : backoff(this.#failures, reconnectDelay, maxReconnectDelay, Math.random());
    if (mayBeOnline()) this.#failures++;
    this.#timer = setTimeout(() => void this.#try("reconnect"), delay);
    this.#step("reconnecting", { ...about, delay });
  }

  /** No later connection will come, unless the program opens one. */
  #end(about: Partial<StateChange>): void {
    this.#active?.abort();
    this.#queue.drain();
    this.#step("closed", about);
  }

  #comesBack(code: number, reason: string): boolean {
    try {
      return this.options.shouldReconnect?.(code, reason) ?? comesBack(code);
    } catch (error) {
      this.listeners.report(listenerError("shouldReconnect", error));
      return comesBack(code);
    }
  }

  /** A close is an error only where there was no connection yet. */
  #refusal(closeCode: number, reason: string): SwitchboardError | undefined {
    if (this.#state === "connected") return undefined;
    return new ConnectError(`cannot connect: ${reason || closeCode}`, { closeCode, reason });
  }

  #step(state: ConnectionState, about: Partial<StateChange>, connected?: unknown): void {
    const previous = this.#state;
    this.#state = state;
    const attempt = this.#failures;
    const willReconnect = state === "reconnecting";
    const none = { code: 0, reason: "", delay: 0, error: undefined };
    const change: StateChange = { state, previous, attempt, willReconnect, ...none, ...about };
    const { code, reason, error } = change;
    const gone = new DisconnectedError(`disconnected: ${reason || code}`, { closeCode: code, reason });
    if (state === "connected" || state === "closed") {
      for (const settle of this.#waiting) settle(state === "closed" ? (error ?? gone) : undefined);
    }
    if (state !== "connected") this.#dialect.lost(gone);
    const tell = (event: string, about: unknown) => this.listeners.call(this.#dialect.prefix + event, about);
    tell("state", change);
    if (state === "connected") {
      tell("connection", connected);
      if (previous === "reconnecting") tell("reconnect", { attempt });
    } else if (previous === "connected") tell("disconnect", change);
    else if (error) tell("error", error);
  }

  /** Asks for a sign of life when nothing was heard for an interval, or at once. */
  #watch(probing = false): void {
    const { watchdogInterval, watchdogTimeout } = this.options;
    clearTimeout(this.#timer);
    this.#probing = probing;
    this.#heard = false;
    if (probing) this.#socket?.send(this.#dialect.probe());
    this.#timer = after(probing ? watchdogTimeout : watchdogInterval, () => {
      if (this.#heard || !probing) this.#watch(!this.#heard);
      else this.#lost(CUT, "no sign of life");
    });
  }

  /** The world has moved on: a wait is over, and a connection may be a dead one. */
  #wake(): void {
    if (this.#state === "connected" && !this.#probing) this.#watch(true);
    if (this.#state !== "reconnecting" || this.#attempt || this.#slower) return;
    clearTimeout(this.#timer);
    void this.#try("reconnect");
  }
}
