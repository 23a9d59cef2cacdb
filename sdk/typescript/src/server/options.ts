/**
 * The options of `Dispatcher`.
 */

import { BOOLEAN, checkOptions, COUNT, MILLISECONDS, OBJECT, SECRET, STRING, type Expectations } from "../core/check.js";
import { BadOptionError } from "../core/errors.js";

/** Whether messages are stored for offline users. */
export interface SyncOptions {
  /** Stores each message until its user has received it. */
  readonly enabled: boolean;
}

/** Options of a `Dispatcher`. */
export interface DispatcherOptions {
  /** The namespace, which is the project on the servers. Default: the servers' own. */
  readonly namespace?: string | undefined;
  /** Whether messages are stored for offline users. Default false; a message can opt out with its own `sync`. */
  readonly sync?: SyncOptions | undefined;
  /** HTTP: one of the server's `api.keys`. */
  readonly key?: string | undefined;
  /** HTTP: how often a failed request is retried, with the same idempotency key. Default 5. */
  readonly maxRetries?: number | undefined;
  /**
   * The time limit of a dispatch, in milliseconds; 0 is no limit. HTTP: for all attempts together, default 30,000.
   * Redis: for the connection and for the reply, default 5,000 each.
   */
  readonly timeout?: number | undefined;
}

const DISPATCHER_OPTIONS: Expectations<DispatcherOptions> = {
  namespace: STRING,
  sync: OBJECT,
  key: SECRET,
  maxRetries: COUNT,
  timeout: MILLISECONDS,
};

const SYNC_OPTIONS: Expectations<SyncOptions> = { enabled: BOOLEAN };

/** Throws `BadOptionError` for an unknown option and for an invalid value. */
export function checkDispatcherOptions(options: DispatcherOptions): void {
  checkOptions(options, DISPATCHER_OPTIONS);
  checkOptions(options.sync, SYNC_OPTIONS);
  checkNamespace(options.namespace);
}

/** Throws `BadOptionError` if the namespace is empty. */
export function checkNamespace(namespace: string | undefined): void {
  if (namespace === "") throw new BadOptionError("the namespace is empty; omit it for the servers' own");
}
