/**
 * The options of a `Dispatcher`.
 */

/** Whether messages wait. */
export interface SyncOptions {
  /** For users, until it has arrived. */
  readonly enabled: boolean;
}

/** How a Dispatcher works. */
export interface DispatcherOptions {
  /** The namespace of the servers, which is the project; default none, which is the servers' own. */
  readonly namespace?: string | undefined;
  /** Whether messages wait for users who are away. Default not; of itself a message may say that it does not. */
  readonly sync?: SyncOptions | undefined;
  /** By HTTP: one of the server's `api.keys`. */
  readonly key?: string | undefined;
  /** How often it is tried again by HTTP, with the same idempotency key. Default 5. */
  readonly maxRetries?: number | undefined;
  /**
   * How long a dispatch may take, in milliseconds; 0: no limit. By HTTP in all, default 30,000; through Redis until
   * there is a connection, and from then until the answer, default 5,000 each.
   */
  readonly timeout?: number | undefined;
}
