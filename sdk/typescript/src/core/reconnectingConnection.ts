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

import { shownAddress } from "./address.js";
import { after } from "./after.js";
import { backoff, throttledDelay } from "./backoff.js";
import { check, checkOptions, SECRET, shown } from "./check.js";
import { allowsReconnect, POLICY_VIOLATION, SERVICE_RESTART } from "./closeCodes.js";
import { connectError, disconnectedError, type SocketProblem } from "./connectError.js";
import { OPEN_OPTIONS, type Connection, type ConnectionState, type OpenOptions, type Protocol, type StateChange } from "./connection.js";
import {
  BadFrameError,
  BadOptionError,
  ConnectFailedError,
  messageOf,
  NO_CLOSE_FRAME,
  NotConnectedError,
  SwitchboardError,
  TokenFailedError,
} from "./errors.js";
import { isObject, type JsonObject } from "./json.js";
import { createListeners, type Listeners } from "./listeners.js";
import { HELD_BYTES_MAX, type Move } from "./move.js";
import { OfflineQueue } from "./offlineQueue.js";
import type { ResolvedOptions, TokenReason, WebSocketLike } from "./options.js";
import { protocolOf } from "./otherProtocol.js";
import { CALL_OPTIONS, timeoutError, withTimeout, type CallOptions } from "./timeout.js";
import { mayBeOnline, onWake } from "./wake.js";

/** Milliseconds after which a server that has to speak first, and does not, is probed. */
const HELLO_DELAY_MS = 1000;

/** The `readyState` of a WebSocket that can send. */
const OPEN = 1;

export class ReconnectingConnection<Options> implements Connection<Options> {
  options: ResolvedOptions & Options;
  readonly listeners: Listeners;

  readonly #protocol: Protocol;
  readonly #queue = new OfflineQueue();
  readonly #pendingOpens = new Set<(error?: Error) => void>();
  #state: ConnectionState = "idle";
  #socket: WebSocketLike | undefined;
  /** Where the current attempt connects to, for messages. */
  #address = "the server";
  /** Why the connection closed, or the last attempt failed; undefined while connected. */
  #failure: SwitchboardError | undefined;
  /** What the socket reported before it closed. */
  #problem: SocketProblem | undefined;
  /** The current attempt or connection, from the call of `getToken` until its socket is released. */
  #attempt: AbortController | undefined;
  /** Stops the timer of the attempt, of the reconnect delay or of the watchdog; only one runs at a time. */
  #stopTimer = () => {};
  /** Stops the timer of the probe for a silent server. */
  #stopHelloTimer = () => {};
  /** Exists from `open` until the state is `closed`. */
  #active: AbortController | undefined;
  /** Failed attempts since the last message from the server. */
  #failures = 0;
  /** The failed attempts before the current connection or attempt. */
  #failuresBefore = 0;
  /** A message arrived since the watchdog last checked. */
  #isAlive = false;
  #isProbing = false;
  /** Whether a failed attempt is followed by another. */
  #retries = false;
  /** Whether a connection succeeded since `open`. */
  #wasConnected = false;
  /** Whether a message of this protocol has arrived since `open`. */
  #isRecognized = false;
  /** The server closed with 1008; wake events do not shorten this delay. */
  #isThrottled = false;
  #move: Move | undefined;

  constructor(protocol: Protocol, options: ResolvedOptions & Options) {
    this.options = options;
    this.#protocol = protocol;
    this.listeners = createListeners(`${protocol.prefix}error`, (event) => protocol.latest?.(event));
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get signal(): AbortSignal | undefined {
    return this.#attempt?.signal;
  }

  onChange(listener: (change: StateChange) => void): () => void {
    return this.listeners.add(`${this.#protocol.prefix}state`, listener);
  }

  open(options?: OpenOptions): Promise<void> {
    const wait = { subject: "connection", timeout: 0, options, known: OPEN_OPTIONS };
    return withTimeout<void, OpenOptions>(wait, (resolve, reject) => {
      if (this.#state === "connected") return resolve();
      const settle = (error?: Error) => (error ? reject(error) : resolve());
      this.#pendingOpens.add(settle);
      // An explicit call does not wait for the reconnect delay.
      if (this.#active) this.#wake();
      else this.#start(options?.retry);
      return () => {
        this.#pendingOpens.delete(settle);
        // The last caller gave up: close, so that no unwanted connection opens later.
        if (!this.#wasConnected && !this.#pendingOpens.size) void this.close();
      };
    });
  }

  close(options?: CallOptions): Promise<void> {
    checkOptions(options, CALL_OPTIONS);
    const closing = this.#release();
    const wait = { subject: "close", timeout: this.options.closeTimeout, options, known: CALL_OPTIONS };
    const answered = withTimeout<void>(wait, (resolve) => {
      if (!closing) return resolve();
      closing.onclose = () => resolve();
      return () => closing.terminate?.();
    });
    closing?.close(1000);
    if (this.#active) this.#step("closed", { code: 1000 });
    // Callers need not await the close, so it never rejects.
    return answered.catch(() => {});
  }

  ready(event: string, data: unknown, handshake: readonly string[], resumed = false): void {
    this.#retries = this.#wasConnected = true;
    this.#stopHelloTimer();
    for (const message of handshake) if (message) this.#socket?.send(message);
    this.#watch();
    this.#step("connected", { resumed }, () => this.listeners.call(event, data));
    // Sent after the messages of the listeners, which may have to join rooms first.
    this.#sendQueued();
  }

  send(message: string, volatile?: boolean): boolean {
    const { queueBytesMax } = this.options;
    if (this.#move?.isHolding) this.#queue.push(message, queueBytesMax || HELD_BYTES_MAX);
    // A closing socket would accept the message and drop it.
    else if (this.#state === "connected" && this.#socket?.readyState === OPEN) this.#socket.send(message);
    else if (volatile) return false;
    else if (this.#state === "closed" || !queueBytesMax) throw this.notConnected();
    else this.#queue.push(message, queueBytesMax);
    return true;
  }

  isQueued(message: string): boolean {
    return this.#queue.has(message);
  }

  goAway(notice: JsonObject): void {
    // An attempt that is under way may already have the session.
    if (this.#move?.isHolding || !this.options.reconnect) return;
    this.#move?.end();
    this.#move = this.#protocol.moveAfter?.(notice, this.options, {
      open: async () => this.#openSocket(this.#protocol.url(await this.token("reconnect")), true),
      isBusy: () => this.#protocol.isBusy?.(),
      handled: () => this.#protocol.handled?.(),
      release: () => this.#sendQueued(),
      adopt: (next, messages) => this.#adopt(next, messages),
      lost: (code, reason) => this.#lost(code, reason),
    });
  }

  notConnected(): NotConnectedError {
    const why = this.#failure?.message ?? `${this.#state}; call ${this.#protocol.openMethod} and await it`;
    return new NotConnectedError(`not connected: ${why}`, this.#failure);
  }

  async token(reason: TokenReason): Promise<string | undefined> {
    try {
      const given = await this.options.getToken?.({ reason, signal: this.#attempt!.signal });
      check("the result of getToken", given ?? "", SECRET);
      return given ?? undefined;
    } catch (cause) {
      throw new TokenFailedError(`getToken failed: ${messageOf(cause)}`, cause);
    }
  }

  #sendQueued(): void {
    if (this.#state === "connected") for (const message of this.#queue.takeAll()) this.send(message);
  }

  /** Continues on a connection that has replaced the current one, with the messages that it has received so far. */
  #adopt(next: WebSocketLike, messages: readonly unknown[]): void {
    const old = this.#release();
    this.#step("reconnecting", { code: SERVICE_RESTART, reason: "moved to another node" });
    if (this.#state === "reconnecting") {
      this.#attempt = new AbortController();
      this.#listen(next);
      this.#limitAttempt();
      this.#opened();
      for (const message of messages) if (this.#socket === next) this.#received(message);
    } else next.close();
    old?.close(1000);
  }

  #start(retry = false): void {
    this.#failures = 0;
    this.#retries = retry;
    this.#wasConnected = this.#isRecognized = false;
    this.#active = new AbortController();
    onWake(() => this.#wake(), this.#active);
    this.#step("connecting");
    if (this.#state === "connecting") void this.#attemptOnce("connect");
  }

  async #attemptOnce(reason: TokenReason): Promise<void> {
    const { signal } = (this.#attempt = new AbortController());
    this.#failuresBefore = this.#failures;
    const failed = (error: SwitchboardError) => signal.aborted || this.#lost(NO_CLOSE_FRAME, error.message, error);
    this.#limitAttempt();
    try {
      const given = await this.token(reason);
      if (signal.aborted) return;
      const url = this.#protocol.url(given);
      this.#address = shownAddress(url);
      this.#listen(this.#openSocket(url));
    } catch (error) {
      failed(error as SwitchboardError);
    }
  }

  #limitAttempt({ connectTimeout } = this.options): void {
    this.#stopTimer = after(connectTimeout || Infinity, () => {
      const error = timeoutError(this.#awaited(), connectTimeout);
      this.#lost(NO_CLOSE_FRAME, error.message, error);
    });
  }

  /** What an attempt waits for. */
  #awaited(): string {
    const { hello, name } = this.#protocol;
    const isOpen = this.#socket?.readyState === OPEN;
    return hello && isOpen ? `${hello.name} from ${this.#address}, which may be no ${name} endpoint,` : `connection to ${this.#address}, which may be no WebSocket server,`;
  }

  #openSocket(url: URL, isMoving?: boolean): WebSocketLike {
    const { WebSocket = globalThis.WebSocket } = this.options;
    if (!WebSocket) throw new BadOptionError("this runtime has no WebSocket: npm install ws and pass { WebSocket }");
    try {
      const subprotocols = this.#protocol.subprotocols?.(isMoving);
      return subprotocols ? new WebSocket(url.href, subprotocols) : new WebSocket(url.href);
    } catch (cause) {
      // Browsers refuse some addresses.
      throw new BadOptionError(`cannot connect to ${this.#address}: ${messageOf(cause)}`, cause);
    }
  }

  #listen(socket: WebSocketLike): void {
    this.#socket = socket;
    this.#problem = undefined;
    socket.onopen = () => this.#opened();
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      if (!this.#move?.oldClosed(code, reason)) this.#lost(code, reason);
    };
    socket.onmessage = ({ data }: { data: unknown }) => this.#received(data);
    // A close event follows. Without a handler, `ws` would throw the error as uncaught.
    socket.onerror = (event: SocketProblem) => void (this.#problem = event);
  }

  #opened(): void {
    const { hello } = this.#protocol;
    this.#protocol.opened?.(this.#socket?.protocol);
    if (hello) this.#stopHelloTimer = after(HELLO_DELAY_MS, () => this.#socket?.send(hello.probe));
  }

  #received(data: unknown): void {
    this.#isAlive = true;
    // Only a message proves that the server works; accepting a connection and closing it is a failure.
    this.#failures = 0;
    let message: unknown;
    try {
      // JSON.parse would convert binary data to a string.
      message = typeof data === "string" && JSON.parse(data);
      if (!isObject(message) || this.#protocol.received(message) === false) throw undefined;
      this.#isRecognized = true;
    } catch (cause) {
      const other = !this.#isRecognized && isObject(message) && protocolOf(message);
      if (other) this.#reject(other);
      else this.listeners.report(cause instanceof SwitchboardError ? cause : this.#badFrame(data, cause));
    }
  }

  #badFrame(data: unknown, cause: unknown): BadFrameError {
    return new BadFrameError(`the server sent a frame that is not of the ${this.#protocol.name} protocol: ${shown(data)}`, data, cause);
  }

  /** Ends a connection to a server of another protocol. */
  #reject(other: string): void {
    const why = `it speaks ${other}, and this client ${this.#protocol.name}; check the path`;
    const error = new ConnectFailedError(`cannot connect to ${this.#address}: ${why}`);
    const isCarried = !this.#wasConnected;
    this.#lost(NO_CLOSE_FRAME, error.message, error, true);
    // The call of `open` rejects, unless it has resolved: an emit client is connected before a message can show the
    // protocol of the server. Then, without a listener, the console shows the error.
    if (!isCarried && !this.listeners.has(`${this.#protocol.prefix}error`)) console.error(error);
  }

  /** Detaches the socket, its attempt and its timers; returns the socket to be closed. */
  #release(): WebSocketLike | undefined {
    const released = this.#socket;
    if (released) released.onopen = released.onmessage = released.onclose = null;
    this.#socket = undefined;
    this.#attempt?.abort();
    this.#attempt = undefined;
    this.#stopTimer();
    this.#stopHelloTimer();
    this.#move?.end();
    this.#move = undefined;
    this.#isProbing = false;
    return released;
  }

  /** The connection or attempt has ended. If `isFinal`, another attempt would end in the same way. */
  #lost(code: number, reason: string, cause?: SwitchboardError, isFinal = cause instanceof BadOptionError): void {
    this.#release()?.close();
    // The close of an open connection is not an error.
    const error = cause ?? (this.#state === "connected" ? undefined : connectError(this.#address, code, reason, this.#problem));
    if (!this.#mayRetry(code, reason, isFinal)) return this.#step("closed", { code, reason, error });
    const delay = this.#delayAfter(code);
    if (mayBeOnline()) this.#failures++;
    this.#stopTimer = after(delay, () => this.#attemptOnce("reconnect"));
    this.#step("reconnecting", { code, reason, error, delay });
  }

  #mayRetry(code: number, reason: string, isFinal: boolean): boolean {
    const { reconnect, maxRetries, shouldReconnect } = this.options;
    if (!reconnect || !this.#retries || this.#failures >= maxRetries || (isFinal && !this.#isRecognized)) return false;
    const decision = shouldReconnect && this.listeners.run("shouldReconnect", shouldReconnect, [code, reason]);
    return Boolean(decision ?? allowsReconnect(code));
  }

  /** The delay before the next attempt, in milliseconds. */
  #delayAfter(code: number): number {
    const { reconnectDelay, maxReconnectDelay } = this.options;
    const random = Math.random();
    this.#isThrottled = code === POLICY_VIOLATION;
    if (this.#isThrottled) return throttledDelay(maxReconnectDelay, random);
    return backoff(this.#failures, reconnectDelay, maxReconnectDelay, random);
  }

  /** Makes a transition. `callConnected`, given exactly for `connected`, calls the protocol's own listeners. */
  #step(state: ConnectionState, details?: Partial<StateChange>, callConnected?: () => void): void {
    const previous = this.#state;
    const none = { code: 0, reason: "", delay: 0, resumed: false };
    const willReconnect = state === "reconnecting";
    const change: StateChange = { state, previous, attempt: this.#failures, willReconnect, ...none, ...details };
    const { code, reason, error, resumed } = change;
    const disconnected = disconnectedError(code, reason);
    this.#state = state;
    this.#failure = error;
    if (callConnected) this.#settleOpens();
    if (state === "closed") this.#end(error ?? disconnected);
    if (!callConnected) this.#protocol.lost(disconnected, state === "closed");
    this.#notify("state", change);
    callConnected?.();
    if (callConnected && previous === "reconnecting") this.#notify("reconnect", { attempt: this.#failuresBefore, resumed });
    else if (previous === "connected") this.#notify("disconnect", change);
    if (error) this.#notify("error", error);
  }

  /** Only `open` can connect again, so calls of it end, and queued messages have no future. */
  #end(error: SwitchboardError): void {
    this.#settleOpens(error);
    this.#active?.abort();
    this.#active = undefined;
    this.#queue.takeAll();
  }

  #settleOpens(error?: SwitchboardError): void {
    for (const settle of this.#pendingOpens) settle(error);
  }

  /** Calls the listeners of one of the client's own events. */
  #notify(event: string, data: unknown): void {
    this.listeners.call(this.#protocol.prefix + event, data);
  }

  /** Runs the watchdog: after `watchdogInterval` of silence, or at once if `probe` is set, it probes the server. */
  #watch(probe = false): void {
    const { watchdogInterval, watchdogTimeout } = this.options;
    this.#stopTimer();
    this.#isProbing = probe;
    this.#isAlive = false;
    if (probe) this.#socket?.send(this.#protocol.probe);
    this.#stopTimer = after((probe ? watchdogTimeout : watchdogInterval) || Infinity, () => {
      if (this.#isAlive || !probe) this.#watch(!this.#isAlive);
      else this.#lost(NO_CLOSE_FRAME, `the server did not answer within ${watchdogTimeout} ms`);
    });
  }

  /** Ends a reconnect delay, and probes an open connection. */
  #wake(): void {
    if (this.#state === "connected" && !this.#isProbing) this.#watch(true);
    if (this.#state !== "reconnecting" || this.#attempt || this.#isThrottled) return;
    this.#stopTimer();
    void this.#attemptOnce("reconnect");
  }
}
