/**
 * Mesa's Portal: receives, through Redis, reports of client actions.
 *
 * Servers send each report to one of the Portals in a shared pool, so Portals divide the work.
 */

import { randomUUID } from "node:crypto";

import { BOOLEAN, checkOptions, shown, STRING, type Expectations } from "../core/check.js";
import { BadFrameError, NotConnectedError, type SwitchboardError } from "../core/errors.js";
import { isObject, type JsonObject } from "../core/json.js";
import { createListeners, type Listener } from "../core/listeners.js";
import { Message, type MessageOptions } from "../mesa/message.js";
import { checkNamespace } from "./options.js";
import { namespaced, RedisConnection, type RedisAddress } from "./redisConnection.js";
import { reported } from "./reportedPromise.js";

/** Options of a `Portal`. */
export interface PortalOptions {
  /** The namespace of the servers. Default none. */
  readonly namespace?: string | undefined;
  /** Also receives the reports for other Portals. Default false. */
  readonly reportAllEvents?: boolean | undefined;
  /** Logs to the console. Default false. */
  readonly verbose?: boolean | undefined;
  /** Leaves the pool on SIGTERM and SIGINT, then lets the signal end the process. Default false: call `close`. */
  readonly leaveOnSignals?: boolean | undefined;
}

const PORTAL_OPTIONS: Expectations<PortalOptions> = {
  namespace: STRING,
  reportAllEvents: BOOLEAN,
  verbose: BOOLEAN,
  leaveOnSignals: BOOLEAN,
};

/** The events of a Portal and the arguments of their listeners. */
export interface PortalEvents {
  /** A client connected. */
  connection: [];
  /** A client authenticated as this user. */
  authentication: [clientId: string];
  /** A client sent a message; the id is undefined before it authenticates. */
  message: [message: Message, clientId: string | undefined];
  /** A client disconnected. */
  disconnection: [clientId: string | undefined];
  /** A malformed report, a failed listener, or a failure to join the pool. */
  error: [error: SwitchboardError];
}

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Announces a Portal only if it is new: original servers count each announcement as another Portal. */
const JOIN = `if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then redis.call('PUBLISH', KEYS[1], ARGV[2]) end`;
/** Announces the departure only of a member: otherwise original servers would drop another Portal. */
const LEAVE = `if redis.call('SREM', KEYS[1], ARGV[1]) == 1 then redis.call('PUBLISH', KEYS[1], ARGV[2]) end`;

/** Receives reports of client actions. The Portals of a namespace divide the reports among themselves. */
export class Portal {
  /** Identifies this Portal to the servers. */
  readonly id = randomUUID();
  /**
   * Resolves once this Portal is in the pool. Rejects if ioredis is not installed or the Portal is closed before.
   * It may be ignored: a missing ioredis then raises `error`, or shows on the console without a listener.
   */
  readonly ready: Promise<void>;
  /** Called for `connection`, after listeners. */
  onConnection: (() => unknown) | undefined;
  /** Called for `authentication`, after listeners. */
  onAuthentication: ((clientId: string) => unknown) | undefined;
  /** Called for `message`, after listeners. */
  onMessage: ((message: Message, clientId?: string) => unknown) | undefined;
  /** Called for `disconnection`, after listeners. */
  onDisconnection: ((clientId?: string) => unknown) | undefined;

  readonly #options: PortalOptions;
  readonly #listeners = createListeners("error");
  readonly #subscriber: RedisConnection;
  readonly #publisher: RedisConnection;
  readonly #pool: string;
  #settle: { resolve: () => void; reject: (error: unknown) => void } = { resolve: () => {}, reject: () => {} };
  #leaving: Promise<void> | undefined;

  /** Takes the address of the servers' Redis, or ioredis options. Throws `BadOptionError` if these are invalid. */
  constructor(address: RedisAddress, options: PortalOptions = {}) {
    checkOptions(options, PORTAL_OPTIONS);
    checkNamespace(options.namespace);
    this.#options = options;
    this.#pool = namespaced("available_portals_pool", options.namespace);
    const ready = new Promise<void>((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready = reported(ready, this.#listeners);
    this.#publisher = new RedisConnection(address, () => this.#join());
    this.#subscriber = new RedisConnection(address, () => this.#join());
    this.#listen().catch(this.#settle.reject);
    if (options.leaveOnSignals) for (const signal of SIGNALS) process.once(signal, this.#leaveOn);
  }

  /** Calls `listener` for every event of that name. `off` removes it. */
  on<E extends keyof PortalEvents>(event: E, listener: (...values: PortalEvents[E]) => unknown): this {
    this.#listeners.add(event, listener);
    return this;
  }

  /** Removes a listener, or all listeners of an event. */
  off(event: keyof PortalEvents, listener?: Listener): this {
    this.#listeners.remove(event, listener);
    return this;
  }

  /** Leaves the pool and closes the connections. Never rejects. */
  close(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #listen(): Promise<void> {
    const client = await this.#subscriber.client;
    client.on("message", (_: string, text: string) => this.#receive(text));
  }

  /** Subscribes first, so that no report is lost, then joins the pool. Repeated at every connect, because a restarted Redis has lost both. */
  async #join(): Promise<void> {
    try {
      await this.#subscriber.run((client) => client.subscribe(namespaced("portal", this.#options.namespace)));
      // Commands of one connection run in order, so a join cannot follow a leave.
      if (this.#leaving) return;
      await this.#announce(JOIN, true);
      this.#log("ready");
      this.#settle.resolve();
    } catch (error) {
      // After a lost connection, the reconnect joins again.
      if (!this.#leaving) this.#listeners.report(error as SwitchboardError);
    }
  }

  async #leave(): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.#leaveOn);
    // Not an error unless something awaits it.
    this.ready.catch(() => {});
    this.#settle.reject(new NotConnectedError("the Portal is closed; create another"));
    await this.#announce(LEAVE, false).catch(() => {});
    await Promise.all([this.#publisher.close(), this.#subscriber.close()]);
    this.#log("closed");
  }

  #announce(script: string, ready: boolean): Promise<unknown> {
    const announcement = JSON.stringify({ id: this.id, ready });
    return this.#publisher.run((client) => client.eval(script, 1, this.#pool, this.id, announcement));
  }

  readonly #leaveOn = (signal: NodeJS.Signals): void => {
    void this.close().then(() => {
      // Without another listener the signal would have ended the process.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  };

  #receive(text: string): void {
    const report = parsed(text);
    if (!report) return void this.#listeners.report(new BadFrameError(`a report is not a JSON object: ${shown(text)}`, text));
    const { type, portalId, clientId, message } = report;
    if (portalId !== this.id && !this.#options.reportAllEvents) return;
    const user = clientId === undefined || clientId === null ? undefined : String(clientId);
    if (type === "connection") this.#call(type, this.onConnection);
    else if (type === "authentication" && user !== undefined) this.#call(type, this.onAuthentication, user);
    else if (type === "disconnection") this.#call(type, this.onDisconnection, user);
    else if (type === "message" && isObject(message)) this.#call(type, this.onMessage, messageOf(message), user);
    else this.#listeners.report(new BadFrameError(`a report is of an unknown kind: ${shown(text)}`, text));
  }

  #call<V extends unknown[]>(event: string, handler: ((...values: V) => unknown) | undefined, ...values: V): void {
    this.#listeners.call(event, ...values);
    if (handler) this.#listeners.run(event, handler, values);
  }

  #log(event: string): void {
    if (this.#options.verbose) console.log(`[portal ${this.id}] ${event}`);
  }
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function messageOf({ op, d, t, o, s }: JsonObject): Message {
  const type = typeof t === "string" ? t : undefined;
  const message = new Message(Number(op ?? 0), d ?? {}, type, optionsOf(o));
  if (typeof s === "number") message.sequence = s;
  return message;
}

/** Clients may send any options; only valid ones are kept, so that the message can be dispatched. */
function optionsOf(options: unknown): MessageOptions | undefined {
  const { sync } = Object(options) as JsonObject;
  return typeof sync === "boolean" ? { sync } : undefined;
}
