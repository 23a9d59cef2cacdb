/**
 * One connection to a server, kept open: the only place that holds a socket, a timer or a state.
 *
 * ```text
 * idle ─ open ─▶ connecting ─ ready ─▶ connected ─ lost ─▶ reconnecting ─ ready ─▶ connected
 *                     └──────────── cannot, may not, or close ────────┴──────────▶ closed ─ open ─▶ …
 * ```
 *
 * What the frames mean is the protocol's matter. Of a socket that was given up nothing is heard any
 * more, so at most one counts at any moment.
 */

import { backoff } from "./backoff.js";
import { allowsReconnect, POLICY_VIOLATION } from "./closeCodes.js";
import { after, timeoutError, within, type CallOptions } from "./timeout.js";
import {
  closed,
  ConnectError,
  DisconnectedError,
  NotConnectedError,
  OptionError,
  ProtocolError,
  QueueFullError,
  SwitchboardError,
  TokenError,
} from "./errors.js";
import { byteLength, checkSize, isObject, type JsonObject } from "./json.js";
import { createListeners, type Listeners } from "./listeners.js";
import type { ResolvedOptions, TokenReason, WebSocketLike } from "./options.js";
import { mayBeOnline, onWake } from "./wake.js";

/** The states: never open, first try, open, between tries, and over until it is opened again. */
export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** A step of the state machine. A try that failed is a step from `reconnecting` to itself. */
export interface StateChange {
  /** The step's end. */
  readonly state: ConnectionState;
  /** Where it began. */
  readonly previous: ConnectionState;
  /** The close that led here; 1006 where there was no close frame, 0 where there was no close. */
  readonly code: number;
  /** What the close frame says; what failed where there is none. */
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

export interface OpenOptions extends CallOptions {
  /** Goes on trying where the first try fails, as it would later. Default false: it rejects. */
  readonly retry?: boolean | undefined;
}

/** What a protocol makes of a connection. */
export interface Protocol {
  /** Where to connect. */
  url(token: string | undefined): string;
  /** The socket is open. The protocol calls `ready` when it may be used: here, or at some message. */
  opened?(): void;
  /** A message of the server. False, or whatever is thrown, if it means nothing. */
  received(message: JsonObject): boolean | void;
  /** The connection is gone; called before anybody is told. */
  lost(error: DisconnectedError): void;
  /** A message that makes the server say something. */
  readonly probe: string;
  /** Begins the names of the connection's own events, and of none that a server can send. */
  readonly prefix: string;
}

/** Without a close frame: cut, silent, or never open. */
const CUT = 1006;

/** The `readyState` of a WebSocket that can send. */
const OPEN = 1;

/** What a protocol, and whoever wants to watch it, has of a connection. */
export interface Connection<Options = object> {
  /** May be replaced; that counts from the next try on. */
  options: ResolvedOptions & Options;
  /** Those of all events. */
  readonly listeners: Listeners;
  /** The present state. */
  readonly state: ConnectionState;
  /** Aborted when the connection there is now, or the try, has ended. */
  readonly signal: AbortSignal | undefined;
  /** Calls `listener` at every step; what it returns ends that. */
  onChange(listener: (change: StateChange) => void): () => void;
  /** Resolves when connected; at once if it is. Rejects when it will not be, or not in time. */
  open(options?: OpenOptions): Promise<void>;
  /** Closes for good, with 1000. Resolves when the server has answered, or the time is up. */
  close(options?: CallOptions): Promise<void>;
  /** The connection may be used. `introduction` is sent first; the event tells listeners `about` it. */
  ready(event: string, about: unknown, introduction: readonly string[]): void;
  /**
   * Sends now, or keeps it for the next connection. False if it was volatile and there is none;
   * throws if there will be none, or if too much is kept: what was kept before stays.
   */
  send(message: string, volatile?: boolean): boolean;
  /** A token of the program's, if it gives any. Rejects with `TokenError` if it fails to. */
  token(reason: TokenReason, signal: AbortSignal): Promise<string | undefined>;
}

/** A connection that is not open yet. What it keeps is in variables, which cost a page less than members. */
export function connection<Options>(protocol: Protocol, options: ResolvedOptions & Options): Connection<Options> {
  /** Messages that wait for a connection, in order. */
  const queue: string[] = [];
  const waiting = new Set<(error?: Error) => void>();
  const listeners = createListeners(`${protocol.prefix}error`);
  let queuedBytes = 0;
  let state: ConnectionState = "idle";
  let socket: WebSocketLike | undefined;
  /** The try under way, from before its token until its socket is given up. */
  let attempt: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** From `open` until it is closed. */
  let active: AbortController | undefined;
  let failures: number;
  /** Something was heard since the watchdog looked last. */
  let heard: boolean | undefined;
  let probing: boolean | undefined;
  /** Whether a failure may be followed by another try. */
  let persistent: boolean | undefined;
  /** There was a connection since `open`. */
  let opened: boolean | undefined;
  /** The server asked for a long wait, which nothing cuts short. */
  let slower: boolean | undefined;

  function onChange(listener: (change: StateChange) => void): () => void {
    return listeners.add(`${protocol.prefix}state`, listener);
  }

  function open(options?: OpenOptions): Promise<void> {
    return within<void>(0, options, "connection", (resolve, reject) => {
      if (state === "connected") return resolve();
      const settle = (error?: Error) => (error ? reject(error) : resolve());
      waiting.add(settle);
      // Who serverRequests now does not want to sit out a long wait.
      if (active) wake();
      else start(options?.retry);
      return () => {
        waiting.delete(settle);
        // Who started it gave up, and nobody else waits: an unwanted connection must not appear.
        if (!opened && !waiting.size) void close();
      };
    });
  }

  function close(options?: CallOptions): Promise<void> {
    const given = release();
    const answered = within<void>(self.options.closeTimeout, options, "close", (resolve) => {
      if (!given) return resolve();
      given.onclose = () => resolve();
      given.close(1000);
    });
    if (active) step("closed", { code: 1000 });
    // Nobody has to wait for a close, so it must not reject.
    return answered.catch(() => {});
  }

  function ready(event: string, about: unknown, introduction: readonly string[]): void {
    persistent = opened = true;
    for (const message of introduction) if (message) socket?.send(message);
    watch();
    step("connected", {}, () => listeners.call(event, about));
    // Behind what the listeners sent, so that they can join again before the rest is sent.
    if (state === "connected") for (const message of drained()) send(message);
  }

  function send(message: string, volatile?: boolean): boolean {
    const { queueBytesMax } = self.options;
    // A socket that is closing would take it and send it nowhere.
    if (state === "connected" && socket?.readyState === OPEN) socket.send(message);
    else if (volatile) return false;
    else if (state === "closed" || !queueBytesMax) throw new NotConnectedError("no connection");
    else {
      queuedBytes = checkSize(queuedBytes + byteLength(message), queueBytesMax, QueueFullError);
      queue.push(message);
    }
    return true;
  }

  async function token(reason: TokenReason, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await self.options.getToken?.({ reason, signal });
    } catch (cause) {
      throw new TokenError("getToken failed", { cause });
    }
  }

  /** Takes out what waited. */
  function drained(): string[] {
    queuedBytes = 0;
    return queue.splice(0);
  }

  function start(retry: boolean | undefined): void {
    failures = 0;
    persistent = retry;
    opened = false;
    active = new AbortController();
    onWake(wake, active.signal);
    step("connecting", {});
    if (state === "connecting") void attemptOnce("connect");
  }

  async function attemptOnce(reason: TokenReason): Promise<void> {
    const { connectTimeout, WebSocket = globalThis.WebSocket } = self.options;
    const { signal } = (attempt = new AbortController());
    const failed = (error: SwitchboardError) => signal.aborted || lost(CUT, error.message, error);
    timer = after(connectTimeout, () => failed(timeoutError("connection", connectTimeout)));
    try {
      const given = await token(reason, signal);
      if (!signal.aborted) listen(new WebSocket(protocol.url(given)));
    } catch (cause) {
      // Node 20 has no WebSocket, and browsers refuse some addresses.
      failed(cause instanceof SwitchboardError ? cause : new OptionError("no WebSocket", { cause }));
    }
  }

  function listen(opening: WebSocketLike): void {
    socket = opening;
    socket.onopen = protocol.opened ?? null;
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => lost(code, reason);
    socket.onmessage = ({ data }: { data: unknown }) => {
      heard = true;
      // Only this proves that a server is well: one that accepts and closes is a failure.
      failures = 0;
      try {
        // What is no text would be made one.
        const message: unknown = typeof data === "string" && JSON.parse(data);
        if (!isObject(message) || protocol.received(message) === false) throw undefined;
      } catch (cause) {
        const isKnown = cause instanceof SwitchboardError;
        listeners.report(isKnown ? cause : new ProtocolError("bad frame", { frame: data, cause }));
      }
    };
    // A close follows. Without a listener `ws` would throw the error into the void.
    socket.onerror = () => {};
  }

  /** Forgets the socket and all that runs for it; gives it back to be closed. */
  function release(): WebSocketLike | undefined {
    const given = socket;
    if (given) given.onopen = given.onmessage = given.onclose = null;
    socket = undefined;
    attempt?.abort();
    attempt = undefined;
    clearTimeout(timer);
    probing = false;
    return given;
  }

  function lost(code: number, reason: string, cause?: SwitchboardError): void {
    release()?.close();
    const { reconnect, maxRetries, reconnectDelay, maxReconnectDelay, shouldReconnect } = self.options;
    // A close is an error only where there was no connection yet.
    const error = cause ?? (state === "connected" ? undefined : closed(ConnectError, code, reason));
    const mayTry = reconnect && persistent && failures < maxRetries;
    const wish = mayTry && shouldReconnect && listeners.run("shouldReconnect", shouldReconnect, [code, reason]);
    if (!(wish ?? (mayTry && allowsReconnect(code)))) return step("closed", { code, reason, error });
    slower = code === POLICY_VIOLATION;
    const random = Math.random();
    const delay = slower
      ? maxReconnectDelay * (0.5 + random / 2)
      : backoff(failures, reconnectDelay, maxReconnectDelay, random);
    if (mayBeOnline()) failures++;
    timer = setTimeout(() => void attemptOnce("reconnect"), delay);
    step("reconnecting", { code, reason, error, delay });
  }

  function step(next: ConnectionState, about: Partial<StateChange>, tellConnected?: () => void): void {
    const previous = state;
    state = next;
    const willReconnect = state === "reconnecting";
    const none = { code: 0, reason: "", delay: 0, error: undefined };
    const change: StateChange = { state, previous, attempt: failures, willReconnect, ...none, ...about };
    const { code, reason, error } = change;
    const gone = closed(DisconnectedError, code, reason);
    const failure = state === "closed" ? (error ?? gone) : undefined;
    if (tellConnected || failure) for (const settle of waiting) settle(failure);
    if (failure) {
      // No later connection will come, unless the program opens one.
      active?.abort();
      active = undefined;
      drained();
    }
    if (!tellConnected) protocol.lost(gone);
    const tell = (event: string, about: unknown) => listeners.call(protocol.prefix + event, about);
    tell("state", change);
    tellConnected?.();
    if (tellConnected && previous === "reconnecting") tell("reconnect", { attempt: failures });
    else if (previous === "connected") tell("disconnect", change);
    else if (error) tell("error", error);
  }

  /** Asks for a sign of life when nothing was heard for an interval, or at once. */
  function watch(asking?: boolean): void {
    const { watchdogInterval, watchdogTimeout } = self.options;
    clearTimeout(timer);
    probing = asking;
    heard = false;
    if (asking) socket?.send(protocol.probe);
    timer = after(asking ? watchdogTimeout : watchdogInterval, () => {
      if (heard || !asking) watch(!heard);
      else lost(CUT, "no sign of life");
    });
  }

  /** The world has moved on: a wait is over, and a connection may be a dead one. */
  function wake(): void {
    if (state === "connected" && !probing) watch(true);
    if (state !== "reconnecting" || attempt || slower) return;
    clearTimeout(timer);
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
