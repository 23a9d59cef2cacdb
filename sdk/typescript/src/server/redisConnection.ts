/**
 * A Redis connection on ioredis, which is loaded on first use.
 *
 * A command that is issued while disconnected waits for the connection. A command whose connection is lost before
 * the reply fails and is not resent, because Redis may have executed it.
 */

import type { Redis } from "ioredis";

import { shown } from "../core/check.js";
import { BadOptionError, messageOf, NotConnectedError, SwitchboardError, TimeoutError } from "../core/errors.js";
import { CALL_OPTIONS, withTimeout, type CallOptions } from "../core/timeout.js";
import { MissingDependencyError, RedisFailedError } from "./errors.js";

/** Options of ioredis, such as `host`, `password`, `tls` and `sentinels`. */
export interface RedisOptions {
  /** Any option of ioredis. */
  readonly [option: string]: unknown;
}

/** An address such as `redis://localhost:6379`, or ioredis options. */
export type RedisAddress = string | URL | RedisOptions;

/** Returns a Redis key or channel name of the original Mesa, with the namespace as its suffix. */
export function namespaced(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${name}_${namespace}`;
}

/** The time limit for a connection, and for a reply. */
const TIMEOUT_MS = 5000;

/** Whether to connect anew after an error of Redis; an option of ioredis. */
type ReconnectOnError = (error: Error) => boolean | 1 | 2;

/** The server has become a replica; its address may lead to the new master by now. */
const isReadOnly: ReconnectOnError = (error) => error.message.startsWith("READONLY");

/** Override the caller's options; together they disable resending (see the module documentation). */
const OPTIONS = { enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 };

/** A command that waits for the connection. */
interface WaitingCommand {
  readonly resolve: (client: Redis) => void;
  readonly reject: (error: unknown) => void;
}

export class RedisConnection {
  /** The client, connected or not; rejects if ioredis is not installed. */
  readonly client: Promise<Redis>;
  /** The client while it is connected. */
  #connected: Redis | undefined;
  /** Why there is no client. */
  #loadError: unknown;
  readonly #waiting = new Set<WaitingCommand>();
  #isClosed = false;
  #lastError: Error | undefined;

  /** Calls `onConnect` at every connect. Throws `BadOptionError` if the address is invalid. */
  constructor(address: RedisAddress, onConnect: (client: Redis) => void = () => {}) {
    const isUrl = typeof address === "string" || address instanceof URL;
    if (isUrl ? !/^rediss?:\/\//i.test(`${address}`) : Object(address) !== address) {
      throw new BadOptionError(`${withoutPassword(address)} is not an address; use redis://, rediss://, http:// or https://`);
    }
    this.client = load().then((Client) =>
      isUrl
        ? new Client(`${address}`, { ...OPTIONS, reconnectOnError: this.#reconnectOnError(isReadOnly) })
        : new Client({ ...address, ...OPTIONS, reconnectOnError: this.#reconnectOnError(address["reconnectOnError"]) }),
    );
    this.client.then(
      (client) => this.#follow(client, onConnect),
      (error) => {
        this.#loadError = error;
        for (const { reject } of this.#waiting) reject(error);
      },
    );
  }

  /** The number of commands that wait for the connection. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Runs a command and returns its reply. Commands are sent in the order of the calls. */
  async run<T>(command: (client: Redis) => Promise<T>, options?: CallOptions): Promise<T> {
    try {
      const client = await this.#untilConnected(options);
      const wait = { subject: "reply of Redis", timeout: TIMEOUT_MS, options, known: CALL_OPTIONS };
      return await withTimeout<T>(wait, (resolve, reject) => {
        command(client).then(resolve, reject);
      });
    } catch (cause) {
      if (cause instanceof SwitchboardError) throw cause;
      throw new RedisFailedError(`Redis: ${messageOf(cause)}`, cause);
    }
  }

  /**
   * As `run`, for a command that a replica would accept and ignore, such as PUBLISH, which reaches the replica's subscribers
   * only. Rejects if the server has become a replica; later commands then wait for a new connection.
   */
  async runOnMaster<T>(command: (client: Redis) => Promise<T>, options?: CallOptions): Promise<T> {
    return this.run(async (client) => {
      // Both are sent at once. A user without the right to ROLE publishes unchecked.
      const [reply, role] = await Promise.all([command(client), client.role().catch(() => undefined)]);
      if (role?.[0] !== "slave") return reply;
      this.#connectAnew(client);
      throw new RedisFailedError("Redis: the server has become a replica, so nobody received the message", undefined);
    }, options);
  }

  /** Closes the connection after the commands already sent. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const client = await this.client.catch(() => undefined);
    if (client?.status === "ready") await client.quit().catch(() => {});
    client?.disconnect();
  }

  async #untilConnected(options?: CallOptions): Promise<Redis> {
    try {
      const wait = { subject: "connection to Redis", timeout: TIMEOUT_MS, options, known: CALL_OPTIONS };
      return await withTimeout<Redis>(wait, (resolve, reject) => {
        if (this.#loadError) return reject(this.#loadError);
        if (this.#connected) return resolve(this.#connected);
        const command = { resolve, reject };
        this.#waiting.add(command);
        return () => this.#waiting.delete(command);
      });
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      const last = this.#lastError;
      throw new NotConnectedError(last ? `${error.message}: ${messageOf(last)}` : error.message, last);
    }
  }

  /** Commands after the one that failed wait for the new connection. */
  #reconnectOnError(reconnects: unknown): ReconnectOnError {
    const decide = typeof reconnects === "function" ? (reconnects as ReconnectOnError) : isReadOnly;
    return (error) => {
      const decision = decide(error);
      if (decision) this.#connected = undefined;
      return decision;
    };
  }

  /** Closes the connection once the commands under way have their replies, and connects again. */
  #connectAnew(client: Redis): void {
    if (this.#connected !== client) return;
    this.#connected = undefined;
    const reconnect = (): void => client.disconnect(true);
    client.ping().then(reconnect, reconnect);
  }

  #follow(client: Redis, onConnect: (client: Redis) => void): void {
    client.on("error", (error) => (this.#lastError = error));
    client.on("close", () => (this.#connected = undefined));
    client.on("ready", () => {
      this.#connected = client;
      // Called before any command that waits for the connection.
      if (!this.#isClosed) onConnect(client);
      for (const { resolve } of this.#waiting) resolve(client);
    });
  }
}

/** The address in messages. */
function withoutPassword(address: RedisAddress): string {
  const isText = typeof address === "string" || address instanceof URL;
  return isText ? JSON.stringify(`${address}`.replace(/\/\/[^/]*@/, "//…@")) : shown(address);
}

async function load(): Promise<typeof Redis> {
  try {
    return (await import("ioredis")).Redis;
  } catch (cause) {
    throw new MissingDependencyError("the package ioredis is not installed: npm install ioredis", cause);
  }
}
