/**
 * Mesa's Dispatcher: sends to users from any process, through Redis or by a server's HTTP API.
 */

import { randomUUID } from "node:crypto";

import type { CallOptions } from "../core/timeout.js";
import { NotConnectedError, OptionError } from "../core/errors.js";
import type { Message } from "../mesa/message.js";
import { audienceOf, isEmpty, type Recipients } from "./audience.js";
import { DispatchEvent } from "./dispatchEvent.js";
import { HttpTransport } from "./httpTransport.js";
import type { DispatcherOptions } from "./options.js";
import type { RedisAddress } from "./redisConnection.js";
import { RedisTransport } from "./redisTransport.js";
import type { AddressedRequest, DispatchResult, Transport } from "./transport.js";

/** How one thing is dispatched. */
export interface DispatchOptions extends CallOptions {
  /** By HTTP: its name for ten minutes, so that a program that starts again does nothing twice. Default a new one. */
  readonly idempotencyKey?: string | undefined;
}

/** How sockets are closed. */
export interface DisconnectOptions extends DispatchOptions {
  /** By HTTP: the close code, which is 1000, or 3000 to 4999 for what the application means. Default 1000. */
  readonly code?: number | undefined;
  /** By HTTP: the reason, at most 123 bytes. Default none. */
  readonly reason?: string | undefined;
}

/** What a route does to somebody. */
type Act = (whom: AddressedRequest, wait: CallOptions) => Promise<DispatchResult>;

/** Sends from a process that is no server of sockets. To be made once and shared. */
export class Dispatcher {
  readonly #transport: Transport;
  readonly #options: DispatcherOptions;
  readonly #running = new Set<Promise<unknown>>();
  #isClosed = false;

  /**
   * By the address of the servers' Redis (`redis:`, `rediss:`) or options of ioredis; or by that of a server's API
   * (`http:`, `https:`), with a `key`. Throws `OptionError` if these cannot be used. Connects at once, and again
   * whenever the connection is lost.
   */
  constructor(address: RedisAddress, options: DispatcherOptions = {}) {
    if (options.namespace === "") throw new OptionError("the namespace is empty");
    this.#options = options;
    const isHttp = /^https?:/i.test(`${address}`);
    this.#transport = isHttp ? new HttpTransport(`${address}`, options) : new RedisTransport(address, options);
  }

  /**
   * Sends a message to users by their ids, to everyone with `["*"]`, or to an audience, and not to those who are
   * excluded; or has their sockets closed. Resolves when Redis has it, or the server has done it; nobody is a
   * good audience. Calls through Redis arrive in their order, those by HTTP do if each is awaited.
   *
   * Rejects with `NotConnectedError` and `UnsupportedError` if nothing was sent; with `RedisError`, `ApiError`,
   * `ConnectError`, `TimeoutError`, `AbortedError`; with `EncodeError` and `TooLargeError` for what no message
   * can be, and `MissingDependencyError` without ioredis.
   */
  async dispatch(
    content: Message | DispatchEvent,
    recipients: Recipients = ["*"],
    excluding: Recipients = [],
    options: DispatchOptions = {},
  ): Promise<DispatchResult> {
    if (content instanceof DispatchEvent) return this.disconnect(recipients, excluding, options);
    const waits = Boolean(this.#options.sync?.enabled) && (content.options?.sync ?? true);
    const act: Act = (whom, wait) => this.#transport.send({ ...whom, content, waits }, wait);
    return this.#run(act, recipients, excluding, options);
  }

  /**
   * Closes the sockets of users, of everyone with `["*"]`, or of an audience, and not of those who are excluded, each
   * behind what is queued for it. Resolves and rejects as `dispatch` does; through Redis they are closed with 1000.
   */
  async disconnect(
    recipients: Recipients,
    excluding: Recipients = [],
    options: DisconnectOptions = {},
  ): Promise<DispatchResult> {
    const { code, reason } = options;
    const act: Act = (whom, wait) => this.#transport.disconnect({ ...whom, code, reason }, wait);
    return this.#run(act, recipients, excluding, options);
  }

  /** Has the route do something to somebody, unless it is for nobody. */
  async #run(
    act: Act,
    recipients: Recipients,
    excluding: Recipients,
    { idempotencyKey = randomUUID(), signal, timeout = this.#options.timeout }: DispatchOptions,
  ): Promise<DispatchResult> {
    if (this.#isClosed) throw new NotConnectedError("the Dispatcher is closed");
    const [to, except] = [audienceOf(recipients), audienceOf(excluding)];
    if (isEmpty(to)) return {};
    const done = act({ to, except, idempotencyKey }, { signal, timeout });
    this.#running.add(done);
    return done.finally(() => this.#running.delete(done));
  }

  /** Ends behind what was dispatched. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
    await this.#transport.close();
  }
}
