/**
 * Moving to another node without a moment without a connection: a server that goes away gives each client a time slot.
 *
 * ```text
 * slot ─▶ wait for replies ─▶ hold back, and wait until the server has read what was sent ─▶ open a second connection ─▶ its first message ─▶ the first connection has ended ─▶ adopt
 *                                        ▲                                                        └── failed ──┐  └── new session ─▲
 *                                        └──────────────────────────── delay ◀──────────────────────────────────┘
 * ```
 *
 * Nothing is sent meanwhile: the server passes the session to the second connection, and does not read what is left on the first one.
 */

import { after } from "./after.js";
import { backoff } from "./backoff.js";
import { isObject, type JsonObject } from "./json.js";
import type { ResolvedOptions, WebSocketLike } from "./options.js";

/** How long a client waits for the end of the connection that it has moved from, in milliseconds. */
const OLD_CONNECTION_MS = 2000;

/** How long a client waits until the server has read what was sent, in milliseconds. */
const READ_MS = 1000;

/** How often a client that waits for replies looks whether they have come, in milliseconds. */
const BUSY_CHECK_MS = 20;

/** The bytes that are held back while a client moves, if its options have no queue. */
export const HELD_BYTES_MAX = 262_144;

/** The connection that moves. */
export interface MovingConnection {
  /** Opens another connection, with the ticket of the session. */
  open(): Promise<WebSocketLike>;
  /** Resolves when the server has handled what was sent before the call. */
  handled(): Promise<unknown> | undefined;
  /** Whether replies are awaited that only the old connection can bring. */
  isBusy(): boolean | undefined;
  /** Sends what was held back, on the old connection. */
  release(): void;
  /** Takes the new connection, with the messages that it has received. */
  adopt(next: WebSocketLike, messages: readonly unknown[]): void;
  /** The old connection has ended, and there is no new one. */
  lost(code: number, reason: string): void;
}

/** Starts a move as the server's notice says; undefined if the notice cancels it. */
export function moveAfter(notice: JsonObject, options: ResolvedOptions, connection: MovingConnection): Move | undefined {
  const { in_ms: slot, grace_ms: grace } = notice;
  return typeof slot === "number" ? new Move(slot, Number(grace) || 0, options, connection) : undefined;
}

export class Move {
  readonly #connection: MovingConnection;
  readonly #options: ResolvedOptions;
  #stopTimer: () => void;
  #next: WebSocketLike | undefined;
  #messages: unknown[] = [];
  #failures = 0;
  /** The close of the old connection, if it came first. */
  #closed: readonly [code: number, reason: string] | undefined;
  #isResumed = false;
  #isEnded = false;
  /** Whether messages are held back. */
  isHolding = false;

  constructor(slotMs: number, graceMs: number, options: ResolvedOptions, connection: MovingConnection) {
    this.#connection = connection;
    this.#options = options;
    const patience = Date.now() + slotMs + graceMs / 2;
    const start = (): void => {
      const isBusy = connection.isBusy() && Date.now() < patience;
      if (isBusy) this.#stopTimer = after(BUSY_CHECK_MS, start);
      else void this.#attempt();
    };
    this.#stopTimer = after(slotMs, start);
  }

  /** Gives up; the caller keeps the old connection, or has none. */
  end(): void {
    this.#isEnded = true;
    this.isHolding = false;
    this.#discard();
  }

  /** The old connection has closed. Returns whether the move goes on without it. */
  oldClosed(code: number, reason: string): boolean {
    if (!this.isHolding) return false;
    this.#closed = [code, reason];
    if (this.#isResumed) this.#finish();
    return true;
  }

  async #attempt(): Promise<void> {
    const handled = this.#connection.handled();
    this.isHolding = true;
    await Promise.race([handled, new Promise<void>((resolve) => (this.#stopTimer = after(READ_MS, resolve)))]);
    this.#stopTimer();
    if (!this.isHolding) return;
    this.#stopTimer = after(this.#options.connectTimeout || Infinity, () => this.#failed());
    try {
      const next = await this.#connection.open();
      if (!this.isHolding || this.#next) return next.close();
      this.#next = next;
      next.onopen = () => {
        // A server that does not answer the ticket has begun a new session.
        if (!next.protocol) this.#finish();
      };
      next.onmessage = ({ data }: { data: unknown }) => this.#received(data);
      next.onclose = () => this.#failed();
      next.onerror = () => {};
    } catch {
      this.#failed();
    }
  }

  #received(data: unknown): void {
    this.#messages.push(data);
    if (this.#messages.length > 1) return;
    if (!isResumed(data)) return this.#finish();
    // What the old connection still brings precedes everything on the new one.
    this.#isResumed = true;
    this.#stopTimer();
    if (this.#closed) this.#finish();
    else this.#stopTimer = after(OLD_CONNECTION_MS, () => this.#finish());
  }

  #finish(): void {
    const next = this.#next;
    this.#next = undefined;
    this.#stopTimer();
    if (next) this.#connection.adopt(next, this.#messages);
  }

  #failed(): void {
    this.#discard();
    if (this.#isEnded) return;
    this.isHolding = false;
    if (this.#closed) return this.#connection.lost(...this.#closed);
    this.#connection.release();
    const { reconnectDelay, maxReconnectDelay } = this.#options;
    const delay = backoff(this.#failures++, reconnectDelay, maxReconnectDelay, Math.random());
    this.#stopTimer = after(delay, () => void this.#attempt());
  }

  /** Drops the new connection. */
  #discard(): void {
    this.#stopTimer();
    const next = this.#next;
    this.#next = undefined;
    this.#messages = [];
    this.#isResumed = false;
    if (!next) return;
    next.onopen = next.onmessage = next.onclose = null;
    next.close();
  }
}

/** Whether the first message on a connection announces the session of the ticket. */
function isResumed(text: unknown): boolean {
  try {
    const message: unknown = typeof text === "string" && JSON.parse(text);
    if (!isObject(message)) return false;
    return (Object(message.data ?? message.payload) as JsonObject).resumed === true;
  } catch {
    return false;
  }
}
