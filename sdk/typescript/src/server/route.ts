/**
 * The way that what is dispatched takes: Redis, or a server's HTTP API.
 */

import type { Wait } from "../core/deadline.js";
import type { Message } from "../mesa/message.js";
import type { WholeAudience } from "./audience.js";

/** What became of it. */
export interface Dispatched {
  /** If it was to wait: for how many users it does. Through Redis these are those who are away. */
  readonly inboxes?: number | undefined;
  /** By HTTP, if it waits: how many older messages gave way to it. */
  readonly displaced?: number | undefined;
  /** By HTTP, if it does not wait: how many sockets of the node that was asked hear it, or are closed. */
  readonly socketsHere?: number | undefined;
  /** By HTTP, if it does not wait: true if other nodes could not be told, since Redis is away. */
  readonly degraded?: boolean | undefined;
}

/** For whom something is. */
export interface Addressed {
  readonly to: WholeAudience;
  readonly except: WholeAudience;
  /** What names it, so that nothing is done twice. */
  readonly idempotencyKey: string;
}

/** Something to dispatch. */
export interface Parcel extends Addressed {
  readonly content: Message;
  /** Whether it waits for users until it has arrived. */
  readonly waits: boolean;
}

/** Sockets to close. */
export interface Closing extends Addressed {
  /** The close code; undefined is 1000. */
  readonly code: number | undefined;
  readonly reason: string | undefined;
}

export interface Route {
  send(parcel: Parcel, wait: Wait): Promise<Dispatched>;
  disconnect(closing: Closing, wait: Wait): Promise<Dispatched>;
  close(): Promise<void>;
}
