/**
 * Mesa's Portal: hears, through Redis, what the clients of servers do.
 *
 * Servers report each happening to one of the Portals that have announced themselves, so Portals divide the work.
 */

import { randomUUID } from "node:crypto";

import { NotConnectedError, ProtocolError, type SwitchboardError } from "../core/errors.js";
import { isObject, type JsonObject } from "../core/json.js";
import { createListeners } from "../core/listeners.js";
import { Message, type MessageOptions } from "../mesa/message.js";
import { RedisConnection, namespaced, type RedisAddress } from "./redisConnection.js";

/** How a Portal works. */
export interface PortalOptions {
  /** The namespace of the servers; default none. */
  readonly namespace?: string | undefined;
  /** Hears what is for other Portals too. Default false. */
  readonly reportAllEvents?: boolean | undefined;
  /** Says in the console what it does. Default false. */
  readonly verbose?: boolean | undefined;
  /** Leaves at SIGTERM and SIGINT, and then lets the signal have its way. Default false: call `close`. */
  readonly leaveOnSignals?: boolean | undefined;
}

/** What listeners are called with. */
export interface PortalEvents {
  /** A client connected. */
  connection: [];
  /** A client has shown who it is. */
  authentication: [clientId: string];
  /** A client sent a message; there is no id before it has shown who it is. */
  message: [message: Message, clientId: string | undefined];
  /** A client has gone. */
  disconnection: [clientId: string | undefined];
  /** A report that is none, a listener that threw, a Redis that does not take the announcement. */
  error: [error: SwitchboardError];
}

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Only who is new is announced: original servers count a Portal as often as they hear of it. */
const JOIN = `if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then redis.call('PUBLISH', KEYS[1], ARGV[2]) end`;
/** Only who was there is said to have gone: original servers would drop another. */
const LEAVE = `if redis.call('SREM', KEYS[1], ARGV[1]) == 1 then redis.call('PUBLISH', KEYS[1], ARGV[2]) end`;

/** Hears what clients do. Its work is divided among all Portals of a namespace. */
export class Portal {
  /** What servers know it by. */
  readonly id = randomUUID();
  /** Resolves when servers have been told of it. Rejects without ioredis. */
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
  readonly #hearing: RedisConnection;
  readonly #speaking: RedisConnection;
  readonly #pool: string;
  #settle: { resolve: () => void; reject: (error: unknown) => void } = { resolve: () => {}, reject: () => {} };
  #leaving: Promise<void> | undefined;

  /** By the address of the servers' Redis, or options of ioredis. Throws `OptionError` if the address is none. */
  constructor(address: RedisAddress, options: PortalOptions = {}) {
    this.#options = options;
    this.#pool = namespaced("available_portals_pool", options.namespace);
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.#speaking = new RedisConnection(address, () => this.#join());
    this.#hearing = new RedisConnection(address, () => this.#join());
    this.#listen().catch(this.#settle.reject);
    if (options.leaveOnSignals) for (const signal of SIGNALS) process.once(signal, this.#leaveOn);
  }

  /** Calls `listener` for every event of that name. Returns its own undo. */
  on<E extends keyof PortalEvents>(event: E, listener: (...values: PortalEvents[E]) => unknown): () => void {
    return this.#listeners.add(event, listener);
  }

  /** Has servers know that it is gone, and ends. Never rejects. */
  close(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #listen(): Promise<void> {
    const client = await this.#hearing.client;
    client.on("message", (_: string, text: string) => this.#receive(text));
  }

  /** Hears first, so that no report is lost. At every connection: Redis may have forgotten us. */
  async #join(): Promise<void> {
    try {
      await this.#hearing.ask((client) => client.subscribe(namespaced("portal", this.#options.namespace)));
      // What is asked of one connection is done in order, so nothing joins behind a leave.
      if (this.#leaving) return;
      await this.#announce(JOIN, true);
      this.#log("ready");
      this.#settle.resolve();
    } catch (error) {
      // A lost connection comes back, and then this is done again.
      if (!this.#leaving) this.#listeners.report(error as SwitchboardError);
    }
  }

  async #leave(): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.#leaveOn);
    this.ready.catch(() => {});
    this.#settle.reject(new NotConnectedError("the Portal is closed"));
    await this.#announce(LEAVE, false).catch(() => {});
    await Promise.all([this.#speaking.close(), this.#hearing.close()]);
    this.#log("gone");
  }

  #announce(script: string, ready: boolean): Promise<unknown> {
    const said = JSON.stringify({ id: this.id, ready });
    return this.#speaking.ask((client) => client.eval(script, 1, this.#pool, this.id, said));
  }

  readonly #leaveOn = (signal: NodeJS.Signals): void => {
    void this.close().then(() => {
      // Where nobody else listens it would have ended the process.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  };

  #receive(text: string): void {
    const report = parsed(text);
    if (!report) return this.#listeners.report(new ProtocolError("a report is no object", { frame: text }));
    const { type, portalId, clientId, message } = report;
    if (portalId !== this.id && !this.#options.reportAllEvents) return;
    const user = clientId === undefined || clientId === null ? undefined : String(clientId);
    if (type === "connection") this.#call(type, this.onConnection);
    else if (type === "authentication" && user !== undefined) this.#call(type, this.onAuthentication, user);
    else if (type === "disconnection") this.#call(type, this.onDisconnection, user);
    else if (type === "message" && isObject(message)) this.#call(type, this.onMessage, messageOf(message), user);
    else this.#listeners.report(new ProtocolError("a report is not understood", { frame: text }));
  }

  #call<V extends unknown[]>(event: string, handler: ((...values: V) => unknown) | undefined, ...values: V): void {
    this.#listeners.call(event, ...values);
    if (handler) this.#listeners.run(event, handler, values);
  }

  #log(what: string): void {
    if (this.#options.verbose) console.log(`[portal ${this.id}] ${what}`);
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
  const message = new Message(Number(op ?? 0), d ?? {}, type, isObject(o) ? (o as MessageOptions) : undefined);
  if (typeof s === "number") message.sequence = s;
  return message;
}
