/**
 * Mesa's Dispatcher: sends messages to users from any process, through Redis or over a server's HTTP API.
 */

import { randomUUID } from "node:crypto";

import { checkOptions, COUNT, shown, STRING, type Expectation, type Expectations } from "../core/check.js";
import { BadOptionError, NotConnectedError, type SwitchboardError } from "../core/errors.js";
import { createListeners, type Listener } from "../core/listeners.js";
import { CALL_OPTIONS, type CallOptions } from "../core/timeout.js";
import type { Message } from "../mesa/message.js";
import { audienceOf, isEmpty, type Recipients } from "./audience.js";
import { DispatchEvent } from "./dispatchEvent.js";
import { HttpTransport } from "./httpTransport.js";
import { checkDispatcherOptions, type DispatcherOptions } from "./options.js";
import type { RedisAddress } from "./redisConnection.js";
import { reported } from "./reportedPromise.js";
import { RedisTransport } from "./redisTransport.js";
import type { AddressedRequest, DispatchResult, OverflowPolicy, Transport } from "./transport.js";

/** Options of one dispatch. */
export interface DispatchOptions extends CallOptions {
  /**
   * HTTP: identifies the dispatch for ten minutes, so that a restarted program can repeat it without a second
   * effect. Default: a random one.
   */
  readonly idempotencyKey?: string | undefined;
}

/** Options of one message. */
export interface SendOptions extends DispatchOptions {
  /**
   * HTTP: what becomes of the message at a client that reads too slowly. `live` closes the client, `volatile` drops the
   * message, `oldest` drops the oldest queued ones, and `latest` replaces a queued one. A message with another policy than
   * `live` is not stored. Default `live`.
   */
  readonly policy?: OverflowPolicy | undefined;
  /** With the policy `latest`: the message replaces a queued one with the same key. Default: one with the same type. */
  readonly key?: string | undefined;
}

/** Options of one disconnect. */
export interface DisconnectOptions extends DispatchOptions {
  /** HTTP: the close code, 1000 or an application code from 3000 to 4999. Default 1000. */
  readonly code?: number | undefined;
  /** HTTP: the reason, at most 123 bytes. Default none. */
  readonly reason?: string | undefined;
}

const DISPATCH_OPTIONS: Expectations<DispatchOptions> = { ...CALL_OPTIONS, idempotencyKey: STRING };
const POLICY: Expectation = {
  expected: "live, volatile, latest or oldest",
  allows: (value) => typeof value === "string" && /^(live|volatile|latest|oldest)$/.test(value),
};
const SEND_OPTIONS: Expectations<SendOptions> = { ...DISPATCH_OPTIONS, policy: POLICY, key: STRING };
const DISCONNECT_OPTIONS: Expectations<DisconnectOptions> = { ...DISPATCH_OPTIONS, code: COUNT, reason: STRING };

/** The events of a Dispatcher and the arguments of their listeners. */
export interface DispatcherEvents {
  /** A call failed, and nothing awaits its promise. Without a listener the console shows the error. */
  error: [error: SwitchboardError];
}

/** Carries out a request on the transport. */
type Action = (request: AddressedRequest, options: CallOptions) => Promise<DispatchResult>;

/** Sends messages from a process that holds no client connections. Create one and share it. */
export class Dispatcher {
  readonly #transport: Transport;
  readonly #options: DispatcherOptions;
  readonly #listeners = createListeners("error");
  readonly #running = new Set<Promise<unknown>>();
  #isClosed = false;

  /**
   * Takes the address of the servers' Redis (`redis:`, `rediss:`) or ioredis options; or the address of a server's
   * API (`http:`, `https:`) with a `key`. Throws `BadOptionError` if these are invalid. A Redis transport connects
   * at once, and reconnects whenever the connection is lost.
   */
  constructor(address: RedisAddress, options: DispatcherOptions = {}) {
    checkDispatcherOptions(options);
    this.#options = options;
    const isHttp = /^https?:/i.test(`${address}`);
    this.#transport = isHttp ? new HttpTransport(`${address}`, options) : new RedisTransport(address, options);
  }

  /**
   * Sends a message to users by id, to everyone with `["*"]`, or to an audience, except the excluded ones; or closes
   * their sockets if `content` is a `DispatchEvent`. Resolves when Redis has accepted the message or the server has
   * handled it. An empty audience is valid. Calls through Redis keep their order; over HTTP, await each call. The
   * promise may be ignored: a failure then raises `error`.
   *
   * Rejects with `NotConnectedError` or `UnsupportedError` if nothing was sent; with `RedisFailedError`, `ApiError`,
   * `ConnectFailedError`, `TimeoutError` or `AbortedError`; with `BadDataError` or `TooLargeError` for an invalid
   * message, with `BadOptionError` for an invalid argument; and with `MissingDependencyError` if ioredis is not
   * installed.
   */
  dispatch(
    content: Message | DispatchEvent,
    recipients: Recipients = ["*"],
    excluding: Recipients = [],
    options: SendOptions = {},
  ): Promise<DispatchResult> {
    if (content instanceof DispatchEvent) return this.disconnect(recipients, excluding, options);
    const { policy, key } = options;
    const send: Action = (request, limits) => {
      const isLive = (policy ?? "live") === "live";
      const store = isLive && Boolean(this.#options.sync?.enabled) && (content.options?.sync ?? true);
      return this.#transport.send({ ...request, content, store, policy, key }, limits);
    };
    return this.#run(send, recipients, excluding, options, () => {
      checkOptions(options, SEND_OPTIONS);
      // Not `instanceof`: the message may be of another copy of this package, or of the original.
      const serialize = (content as Partial<Message> | undefined)?.serialize;
      if (typeof serialize !== "function") throw new BadOptionError(`the content is ${shown(content)}; expected a Message or a DispatchEvent`);
    });
  }

  /**
   * Closes the sockets of users, of everyone with `["*"]`, or of an audience, except the excluded ones. Queued
   * messages are sent first. Resolves and rejects as `dispatch` does; through Redis the close code is always 1000.
   */
  disconnect(
    recipients: Recipients,
    excluding: Recipients = [],
    options: DisconnectOptions = {},
  ): Promise<DispatchResult> {
    const close: Action = (request, limits) => {
      const { code, reason } = options;
      return this.#transport.disconnect({ ...request, code, reason }, limits);
    };
    return this.#run(close, recipients, excluding, options, () => checkOptions(options, DISCONNECT_OPTIONS));
  }

  /** Calls `listener` for every event of that name. `off` removes it. */
  on<E extends keyof DispatcherEvents>(event: E, listener: (...values: DispatcherEvents[E]) => unknown): this {
    this.#listeners.add(event, listener);
    return this;
  }

  /** Removes a listener, or all listeners of an event. */
  off(event: keyof DispatcherEvents, listener?: Listener): this {
    this.#listeners.remove(event, listener);
    return this;
  }

  /** Runs the action. Its promise may be ignored. */
  #run(
    action: Action,
    recipients: Recipients,
    excluding: Recipients,
    options: DispatchOptions,
    check: () => void,
  ): Promise<DispatchResult> {
    const result = this.#start(action, recipients, excluding, options, check);
    return reported(result, this.#listeners);
  }

  /** Checks the arguments, then runs the action unless the audience is empty. */
  async #start(
    action: Action,
    recipients: Recipients,
    excluding: Recipients,
    { idempotencyKey = randomUUID(), signal, timeout = this.#options.timeout }: DispatchOptions,
    check: () => void,
  ): Promise<DispatchResult> {
    if (this.#isClosed) throw new NotConnectedError("the Dispatcher is closed; create another");
    check();
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
