/**
 * The way that what is dispatched takes: Redis, or a server's HTTP API.
 */

import type { CallOptions } from "../core/timeout.js";
import type { Message } from "../mesa/message.js";
import type { ResolvedAudience } from "./audience.js";

/** What became of it. */
export interface DispatchResult {
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
export interface AddressedRequest {
  readonly to: ResolvedAudience;
  readonly except: ResolvedAudience;
  /** What names it, so that nothing is done twice. */
  readonly idempotencyKey: string;
}

/** Something to dispatch. */
export interface DispatchRequest extends AddressedRequest {
  readonly content: Message;
  /** Whether it waits for users until it has arrived. */
  readonly waits: boolean;
}

/** Sockets to close. */
export interface DisconnectRequest extends AddressedRequest {
  /** The close code; undefined is 1000. */
  readonly code: number | undefined;
  readonly reason: string | undefined;
}

export interface Transport {
  send(parcel: DispatchRequest, wait: CallOptions): Promise<DispatchResult>;
  disconnect(closing: DisconnectRequest, wait: CallOptions): Promise<DispatchResult>;
  close(): Promise<void>;
}
