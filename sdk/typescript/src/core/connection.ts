/**
 * One connection that reconnects: the only module that holds a socket, a timer or a connection state.
 *
 * ```text
 * idle ─ open ─▶ connecting ─ ready ─▶ connected ─ lost ─▶ reconnecting ─ ready ─▶ connected
 *                     └───────── failed for good, or close ──────────┴──────────▶ closed ─ open ─▶ …
 * ```
 *
 * A `Protocol` interprets the frames. A released socket has no handlers, so at most one socket is in use.
 */

import { after } from "./after.js";
import { backoff, throttledDelay } from "./backoff.js";
import { check, checkOptions } from "./check.js";
import { allowsReconnect, POLICY_VIOLATION } from "./closeCodes.js";
import {
  BadFrameError,
  BadOptionError,
  closeError,
  ConnectFailedError,
  DisconnectedError,
  NotConnectedError,
  QueueFullError,
  SwitchboardError,
  TokenFailedError,
} from "./errors.js";
import { byteLength, checkSize, isObject, type JsonObject } from "./json.js";
import { createListeners, type Listeners } from "./listeners.js";
import type { ResolvedOptions, TokenReason, WebSocketLike } from "./options.js";
import { CALL_OPTIONS, timeoutError, withTimeout, type CallOptions } from "./timeout.js";
import { mayBeOnline, onWake } from "./wake.js";

/** The states of a connection. `closed` is final until `open` is called again. */
export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** A transition of the state machine. A failed reconnect attempt goes from `reconnecting` to itself. */
export interface StateChange {
  /** The new state. */
  readonly state: ConnectionState;
  /** The old state. */
  readonly previous: ConnectionState;
  /** The close code; 1006 if no close frame arrived, 0 if the transition is not a close. */
  readonly code: number;
  /** The reason of the close frame, or a description of the failure. */
  readonly reason: string;
  /** Whether the client will reconnect by itself. */
  readonly willReconnect: boolean;
  /** Failed attempts since the last message from the server. */
  readonly attempt: number;
  /** Milliseconds until the next attempt. */
  readonly delay: number;
  /** The failure; undefined after the close of an open connection. */
  readonly error?: SwitchboardError | undefined;
}

export interface OpenOptions extends CallOptions {
  /** Keeps trying if the first attempt fails. Default false: the promise rejects. */
  readonly retry?: boolean | undefined;
}

/** The part of a connection that depends on the wire protocol. */
export interface Protocol {
  /** Returns the address to connect to. */
  url(token: string | undefined): string;
  /** The socket is open. The protocol calls `ready` here or when a later message completes its handshake. */
  opened?(): void;
  /** Handles a message. Returns false, or throws, if the protocol does not allow it. */
  received(message: JsonObject): boolean | void;
  /** The connection closed or changed state; called before any listener. */
  lost(error: DisconnectedError): void;
  /** A message that the server answers. */
  readonly probe: string;
  /** The prefix of the client's own events. No event from a server may have it. */
  readonly prefix: string;
}

/** The close code if no close frame arrived: disconnected, silent or never open. */
const NO_CLOSE_FRAME = 1006;

/** The `readyState` of a WebSocket that can send. */
const OPEN = 1;

/** A connection, as protocols and observers of its state use it. */
export interface Connection<Options = object> {
  /** May be replaced; takes effect at the next attempt. */
  options: ResolvedOptions & Options;
  /** The listeners of all events. */
  readonly listeners: Listeners;
  /** The current state. */
  readonly state: ConnectionState;
  /** Aborted when the current connection, or the attempt under way, ends. */
  readonly signal: AbortSignal | undefined;
  /** Calls `listener` at every transition; returns a function that removes it. */
  onChange(listener: (change: StateChange) => void): () => void;
  /** Resolves once connected. Rejects if the connection fails or the time runs out. */
  open(options?: OpenOptions): Promise<void>;
  /**
   * Closes with code 1000 and does not reconnect. Resolves when the server has answered; drops the connection after
   * `closeTimeout`. Throws `BadOptionError` for an invalid option.
   */
  close(options?: CallOptions): Promise<void>;
  /** The handshake is complete. Sends `handshake` first, then calls the listeners of `event` with `data`. */
  ready(event: string, data: unknown, handshake: readonly string[]): void;
  /**
   * Sends a message, or queues it while disconnected. Returns false if it is volatile and there is no
   * connection. Throws if the connection is closed or the queue is full; queued messages stay.
   */
  send(message: string, volatile?: boolean): boolean;
  /** Calls `getToken`, if there is one, during an attempt or a connection. Rejects with `TokenFailedError` if it fails. */
  token(reason: TokenReason): Promise<string | undefined>;
}

/** Creates an idle connection. State is kept in local variables, which minify better than properties. */
export function connection<Options>(protocol: Protocol, options: ResolvedOptions & Options): Connection<Options> {
  /** Messages sent while disconnected, in order. */
  const queue: string[] = [];
  const pendingOpens = new Set<(error?: Error) => void>();
  const listeners = createListeners(`${protocol.prefix}error`);
  let queuedBytes = 0;
  let state: ConnectionState = "idle";
  let socket: WebSocketLike | undefined;
  /** The current attempt or connection, from the call of `getToken` until its socket is released. */
  let attempt: AbortController | undefined;
  /** Stops the timer of the attempt, of the reconnect delay or of the watchdog; only one runs at a time. */
  let stopTimer = () => {};
  /** Exists from `open` until the state is `closed`. */
  let active: AbortController | undefined;
  let failures: number;
  /** A message arrived since the watchdog last checked. */
  let isAlive: boolean | undefined;
  let isProbing: boolean | undefined;
  /** Whether a failed attempt is followed by another. */
  let retries: boolean | undefined;
  /** Whether a connection succeeded since `open`. */
  let wasConnected: boolean | undefined;
  /** The server closed with 1008; wake events do not shorten this delay. */
  let isThrottled: boolean | undefined;

  function onChange(listener: (change: StateChange) => void): () => void {
    return listeners.add(`${protocol.prefix}state`, listener);
  }

  function open(options?: OpenOptions): Promise<void> {
    return withTimeout<void>(0, options, "connection", (resolve, reject) => {
      if (state === "connected") return resolve();
      const settle = (error?: Error) => (error ? reject(error) : resolve());
      pendingOpens.add(settle);
      // An explicit call does not wait for the reconnect delay.
      if (active) wake();
      else start(options?.retry);
      return () => {
        pendingOpens.delete(settle);
        // The last caller gave up: close, so that no unwanted connection opens later.
        if (!wasConnected && !pendingOpens.size) void close();
      };
    });
  }

  function close(options?: CallOptions): Promise<void> {
    checkOptions(options, CALL_OPTIONS);
    const closing = release();
    const answered = withTimeout<void>(self.options.closeTimeout, options, "close", (resolve) => {
      if (!closing) return resolve();
      closing.onclose = () => resolve();
      return () => closing.terminate?.();
    });
    closing?.close(1000);
    if (active) step("closed", { code: 1000 });
    // Callers need not await the close, so it never rejects.
    return answered.catch(() => {});
  }

  function ready(event: string, data: unknown, handshake: readonly string[]): void {
    retries = wasConnected = true;
    for (const message of handshake) if (message) socket?.send(message);
    watch();
    step("connected", undefined, () => listeners.call(event, data));
    // Sent after the messages of the listeners, which may have to join rooms first.
    if (state === "connected") for (const message of takeQueue()) send(message);
  }

  function send(message: string, volatile?: boolean): boolean {
    const { queueBytesMax } = self.options;
    // A closing socket would accept the message and drop it.
    if (state === "connected" && socket?.readyState === OPEN) socket.send(message);
    else if (volatile) return false;
    else if (state === "closed" || !queueBytesMax) throw new NotConnectedError("not connected");
    else {
      queuedBytes = checkSize(queuedBytes + byteLength(message), queueBytesMax, QueueFullError);
      queue.push(message);
    }
    return true;
  }

  async function token(reason: TokenReason): Promise<string | undefined> {
    try {
      const given = await self.options.getToken?.({ reason, signal: attempt!.signal });
      check("token", given ?? "", "");
      return given ?? undefined;
    } catch (cause) {
      throw new TokenFailedError("getToken failed", { cause });
    }
  }

  /** Empties the offline queue and returns its messages in order. */
  function takeQueue(): string[] {
    queuedBytes = 0;
    return queue.splice(0);
  }

  function start(retry: boolean | undefined): void {
    failures = 0;
    retries = retry;
    wasConnected = false;
    active = new AbortController();
    onWake(wake, active);
    step("connecting");
    if (state === "connecting") void attemptOnce("connect");
  }

  async function attemptOnce(reason: TokenReason): Promise<void> {
    const { connectTimeout, WebSocket = globalThis.WebSocket } = self.options;
    const { signal } = (attempt = new AbortController());
    const failed = (error: SwitchboardError) => signal.aborted || lost(NO_CLOSE_FRAME, error.message, error);
    stopTimer = after(connectTimeout || Infinity, () => failed(timeoutError("connection", connectTimeout)));
    let url = "";
    try {
      const given = await token(reason);
      if (signal.aborted) return;
      url = protocol.url(given);
      listen(new WebSocket(url));
    } catch (cause) {
      // Node 20 has no WebSocket, and browsers refuse some addresses. The query may contain a token.
      const problem = WebSocket ? (cause as Error).message : "no WebSocket class; pass one as an option";
      const error = new BadOptionError(`cannot connect to ${url.split("?")[0]}: ${problem}`, { cause });
      failed(cause instanceof SwitchboardError ? cause : error);
    }
  }

  function listen(opening: WebSocketLike): void {
    socket = opening;
    socket.onopen = protocol.opened as WebSocketLike["onopen"];
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => lost(code, reason);
    socket.onmessage = ({ data }: { data: unknown }) => {
      isAlive = true;
      // Only a message proves that the server works; accepting a connection and closing it is a failure.
      failures = 0;
      try {
        // JSON.parse would convert binary data to a string.
        const message: unknown = typeof data === "string" && JSON.parse(data);
        if (!isObject(message) || protocol.received(message) === false) throw undefined;
      } catch (cause) {
        const isKnown = cause instanceof SwitchboardError;
        listeners.report(isKnown ? cause : new BadFrameError("bad frame", { frame: data, cause }));
      }
    };
    // A close event follows. Without a handler, `ws` would throw the error as uncaught.
    socket.onerror = () => {};
  }

  /** Detaches the socket, its attempt and its timer; returns the socket to be closed. */
  function release(): WebSocketLike | undefined {
    const released = socket;
    if (released) released.onopen = released.onmessage = released.onclose = null;
    socket = undefined;
    attempt?.abort();
    attempt = undefined;
    stopTimer();
    isProbing = false;
    return released;
  }

  function lost(code: number, reason: string, cause?: SwitchboardError): void {
    release()?.close();
    const { reconnect, maxRetries, reconnectDelay, maxReconnectDelay, shouldReconnect } = self.options;
    // The close of an open connection is not an error.
    const error = cause ?? (state === "connected" ? undefined : closeError(ConnectFailedError, code, reason));
    const mayRetry = reconnect && retries && failures < maxRetries;
    const decision = () => shouldReconnect && listeners.run("shouldReconnect", shouldReconnect, [code, reason]);
    if (!mayRetry || !(decision() ?? allowsReconnect(code))) return step("closed", { code, reason, error });
    isThrottled = code === POLICY_VIOLATION;
    const random = Math.random();
    const delay = isThrottled
      ? throttledDelay(maxReconnectDelay, random)
      : backoff(failures, reconnectDelay, maxReconnectDelay, random);
    if (mayBeOnline()) failures++;
    stopTimer = after(delay, () => attemptOnce("reconnect"));
    step("reconnecting", { code, reason, error, delay });
  }

  /** Makes a transition. `callConnected`, given exactly for `connected`, calls the protocol's own listeners. */
  function step(next: ConnectionState, details?: Partial<StateChange>, callConnected?: () => void): void {
    const previous = state;
    state = next;
    const willReconnect = state === "reconnecting";
    const none = { code: 0, reason: "", delay: 0 };
    const change: StateChange = { state, previous, attempt: failures, willReconnect, ...none, ...details };
    const { code, reason, error } = change;
    const disconnected = closeError(DisconnectedError, code, reason);
    const failure = state === "closed" ? (error ?? disconnected) : undefined;
    if (callConnected || failure) for (const settle of pendingOpens) settle(failure);
    if (failure) {
      // Only `open` can connect again, so queued messages have no future.
      active?.abort();
      active = undefined;
      takeQueue();
    }
    if (!callConnected) protocol.lost(disconnected);
    const notify = (event: string, data: unknown) => listeners.call(protocol.prefix + event, data);
    notify("state", change);
    callConnected?.();
    if (callConnected && previous === "reconnecting") notify("reconnect", { attempt: failures });
    else if (previous === "connected") notify("disconnect", change);
    else if (error) notify("error", error);
  }

  /** Runs the watchdog: after `watchdogInterval` of silence, or at once if `probe` is set, it probes the server. */
  function watch(probe?: boolean): void {
    const { watchdogInterval, watchdogTimeout } = self.options;
    stopTimer();
    isProbing = probe;
    isAlive = false;
    if (probe) socket?.send(protocol.probe);
    stopTimer = after((probe ? watchdogTimeout : watchdogInterval) || Infinity, () => {
      if (isAlive || !probe) watch(!isAlive);
      else lost(NO_CLOSE_FRAME, "no answer");
    });
  }

  /** Ends a reconnect delay, and probes an open connection. */
  function wake(): void {
    if (state === "connected" && !isProbing) watch(true);
    if (state !== "reconnecting" || attempt || isThrottled) return;
    stopTimer();
    void attemptOnce("reconnect");
  }

  const self: Connection<Options> = {
    options,
    listeners,
    get state() {
      return state;
    },
    get signal() {
      return attempt?.signal;
    },
    onChange,
    open,
    close,
    ready,
    send,
    token,
  };
  return self;
}
