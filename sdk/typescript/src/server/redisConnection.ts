/**
 * A connection to Redis by ioredis, which is loaded when one is asked for.
 *
 * What is asked while there is no connection waits for one; what was asked of one that is lost is not
 * asked again, since Redis may have done it.
 */

import type { Redis } from "ioredis";

import { within, type CallOptions } from "../core/timeout.js";
import { NotConnectedError, OptionError, SwitchboardError, TimeoutError } from "../core/errors.js";
import { MissingDependencyError, RedisError } from "./errors.js";

/** Options of ioredis, such as `host`, `password`, `tls` and `sentinels`. */
export interface RedisOptions {
  /** Any of its options. */
  readonly [option: string]: unknown;
}

/** `redis://localhost:6379`, or options of ioredis. */
export type RedisAddress = string | URL | RedisOptions;

/** A name of the original Mesa's, in a namespace if there is one. */
export function namespaced(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${name}_${namespace}`;
}

/** How long Redis may be away, or take to answer. */
const TIMEOUT_MS = 5000;

/** Set over those of the caller: see above. */
const OPTIONS = { enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 };

export class RedisConnection {
  /** The client, connected or not; rejects without ioredis. */
  readonly client: Promise<Redis>;
  /** The client, as long as it is connected; otherwise when it is. */
  #ready: Promise<Redis>;
  #isClosed = false;
  #lastError: Error | undefined;

  /** `connected` is called each time there is a connection. Throws `OptionError` if the address is none. */
  constructor(address: RedisAddress, connected: (client: Redis) => void = () => {}) {
    const isUrl = typeof address === "string" || address instanceof URL;
    if (isUrl && !/^rediss?:\/\//i.test(`${address}`)) {
      throw new OptionError(`${address} is no address of Redis, nor of an API`);
    }
    this.client = load().then((Client) =>
      isUrl ? new Client(`${address}`, OPTIONS) : new Client({ ...(address as object), ...OPTIONS }),
    );
    this.#ready = this.client.then((client) => this.#follow(client, connected));
    // Who serverRequests for something is told.
    this.#ready.catch(() => {});
  }

  /** What Redis answers to a command; commands are sent in the order of the calls. */
  async ask<T>(command: (client: Redis) => Promise<T>, wait?: CallOptions): Promise<T> {
    try {
      const client = await this.#connected(wait);
      return await within<T>(TIMEOUT_MS, wait, "answer of Redis", (resolve, reject) => {
        command(client).then(resolve, reject);
      });
    } catch (cause) {
      if (cause instanceof SwitchboardError) throw cause;
      throw new RedisError(`Redis: ${(cause as Error).message}`, { cause });
    }
  }

  /** Ends behind what was asked. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const client = await this.client.catch(() => undefined);
    if (client?.status === "ready") await client.quit().catch(() => {});
    client?.disconnect();
  }

  async #connected(wait?: CallOptions): Promise<Redis> {
    try {
      return await within<Redis>(TIMEOUT_MS, wait, "connection to Redis", (resolve, reject) => {
        this.#ready.then(resolve, reject);
      });
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      throw new NotConnectedError(error.message, { cause: this.#lastError });
    }
  }

  #follow(client: Redis, connected: (client: Redis) => void): Promise<Redis> {
    client.on("error", (error) => (this.#lastError = error));
    const next = () => new Promise<Redis>((resolve) => client.once("ready", () => resolve(client)));
    client.on("ready", () => {
      // Before anybody who waits for the connection.
      if (!this.#isClosed) connected(client);
      client.once("close", () => (this.#ready = next()));
    });
    return next();
  }
}

async function load(): Promise<typeof Redis> {
  try {
    return (await import("ioredis")).Redis;
  } catch (cause) {
    throw new MissingDependencyError("Redis is spoken to by the package ioredis: npm install ioredis", { cause });
  }
}
