/**
 * Mesa's Dispatcher: sends messages to users from any process, through Redis or over a server's HTTP API.
 */

import { randomUUID } from "node:crypto";

import { BadOptionError, NotConnectedError } from "../core/errors.js";
import type { CallOptions } from "../core/timeout.js";
import type { Message } from "../mesa/message.js";
import { audienceOf, isEmpty, type Recipients } from "./audience.js";
import { DispatchEvent } from "./dispatchEvent.js";
import { HttpTransport } from "./httpTransport.js";
import type { DispatcherOptions } from "./options.js";
import type { RedisAddress } from "./redisConnection.js";
import { RedisTransport } from "./redisTransport.js";
import type { AddressedRequest, DispatchResult, Transport } from "./transport.js";

/** Options of one dispatch. */
export interface DispatchOptions extends CallOptions {
  /**
   * HTTP: identifies the dispatch for ten minutes, so that a restarted program can repeat it without a second
   * effect. Default: a random one.
   */
  readonly idempotencyKey?: string | undefined;
}

/** Options of one disconnect. */
export interface DisconnectOptions extends DispatchOptions {
  /** HTTP: the close code, 1000 or an application code from 3000 to 4999. Default 1000. */
  readonly code?: number | undefined;
  /** HTTP: the reason, at most 123 bytes. Default none. */
  readonly reason?: string | undefined;
}

/** Carries out a request on the transport. */
type Action = (request: AddressedRequest, options: CallOptions) => Promise<DispatchResult>;

/** Sends messages from a process that holds no client connections. Create one and share it. */
export class Dispatcher {
  readonly #transport: Transport;
  readonly #options: DispatcherOptions;
  readonly #running = new Set<Promise<unknown>>();
  #isClosed = false;

  /**
   * Takes the address of the servers' Redis (`redis:`, `rediss:`) or ioredis options; or the address of a server's
   * API (`http:`, `https:`) with a `key`. Throws `BadOptionError` if these are invalid. A Redis transport connects
   * at once, and reconnects whenever the connection is lost.
   */
  constructor(address: RedisAddress, options: DispatcherOptions = {}) {
    if (options.namespace === "") throw new BadOptionError("the namespace is empty; omit it for the servers' own");
    this.#options = options;
    const isHttp = /^https?:/i.test(`${address}`);
    this.#transport = isHttp ? new HttpTransport(`${address}`, options) : new RedisTransport(address, options);
  }

  /**
   * Sends a message to users by id, to everyone with `["*"]`, or to an audience, except the excluded ones; or closes
   * their sockets if `content` is a `DispatchEvent`. Resolves when Redis has accepted the message or the server has
   * handled it. An empty audience is valid. Calls through Redis keep their order; over HTTP, await each call.
   *
   * Rejects with `NotConnectedError` or `UnsupportedError` if nothing was sent; with `RedisFailedError`, `ApiError`,
   * `ConnectFailedError`, `TimeoutError` or `AbortedError`; with `BadDataError` or `TooLargeError` for an invalid
   * message; and with `MissingDependencyError` if ioredis is not installed.
   */
  async dispatch(
    content: Message | DispatchEvent,
    recipients: Recipients = ["*"],
    excluding: Recipients = [],
    options: DispatchOptions = {},
  ): Promise<DispatchResult> {
    if (content instanceof DispatchEvent) return this.disconnect(recipients, excluding, options);
    const store = Boolean(this.#options.sync?.enabled) && (content.options?.sync ?? true);
    const send: Action = (request, limits) => this.#transport.send({ ...request, content, store }, limits);
    return this.#run(send, recipients, excluding, options);
  }

  /**
   * Closes the sockets of users, of everyone with `["*"]`, or of an audience, except the excluded ones. Queued
   * messages are sent first. Resolves and rejects as `dispatch` does; through Redis the close code is always 1000.
   */
  async disconnect(
    recipients: Recipients,
    excluding: Recipients = [],
    options: DisconnectOptions = {},
  ): Promise<DispatchResult> {
    const { code, reason } = options;
    const close: Action = (request, limits) => this.#transport.disconnect({ ...request, code, reason }, limits);
    return this.#run(close, recipients, excluding, options);
  }

  /** Runs the action unless the audience is empty. */
  async #run(
    action: Action,
    recipients: Recipients,
    excluding: Recipients,
    { idempotencyKey = randomUUID(), signal, timeout = this.#options.timeout }: DispatchOptions,
  ): Promise<DispatchResult> {
    if (this.#isClosed) throw new NotConnectedError("the Dispatcher is closed; create another");
    const [to, except] = [audienceOf(recipients), audienceOf(excluding)];
    if (isEmpty(to)) return {};
    const result = action({ to, except, idempotencyKey }, { signal, timeout });
    this.#running.add(result);
    return result.finally(() => this.#running.delete(result));
  }

  /** Closes the connection once all dispatches under way have ended. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
    await this.#transport.close();
  }
}
