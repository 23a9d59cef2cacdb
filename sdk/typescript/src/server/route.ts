/**
 * The way that what is dispatched takes: Redis, or a server's HTTP API.
 */

import type { Wait } from "../core/deadline.js";
import type { Message } from "../mesa/message.js";
import type { WholeAudience } from "./audience.js";
import type { DispatchEvent } from "./event.js";

/** What became of it. */
export interface Dispatched {
  /** If it was to wait: for how many users it does. Through Redis these are those who are away. */
  readonly inboxes?: number | undefined;
  /** By HTTP, if it waits: how many older messages gave way to it. */
  readonly displaced?: number | undefined;
  /** By HTTP, if it does not wait: how many sockets of the node that was asked hear it. */
  readonly socketsHere?: number | undefined;
  /** By HTTP, if it does not wait: true if other nodes could not be told, since Redis is away. */
  readonly degraded?: boolean | undefined;
}

/** Something to dispatch. */
export interface Parcel {
  readonly content: Message | DispatchEvent;
  readonly to: WholeAudience;
  readonly except: WholeAudience;
  /** Whether it waits for users until it has arrived. */
  readonly waits: boolean;
  /** What names it, so that nothing is done twice. */
  readonly idempotencyKey: string;
}

export interface Route {
  send(parcel: Parcel, wait: Wait): Promise<Dispatched>;
  close(): Promise<void>;
}
