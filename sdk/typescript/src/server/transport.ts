/**
 * A transport carries dispatches to the servers: through Redis or over a server's HTTP API.
 */

import type { CallOptions } from "../core/timeout.js";
import type { Message } from "../mesa/message.js";
import type { ResolvedAudience } from "./audience.js";

/** The result of a dispatch. */
export interface DispatchResult {
  /** With `sync`: the number of users for which the message was stored. Through Redis these are the offline ones. */
  readonly inboxes?: number | undefined;
  /** HTTP with `sync`: the number of older messages that full inboxes evicted. */
  readonly evicted?: number | undefined;
  /** HTTP without `sync`: the number of sockets on the addressed node that receive the message or are closed. */
  readonly socketsHere?: number | undefined;
  /** HTTP without `sync`: true if Redis was down, so that other nodes did not receive the message. */
  readonly degraded?: boolean | undefined;
}

/** The recipients of a request and its identity. */
export interface AddressedRequest {
  readonly to: ResolvedAudience;
  readonly except: ResolvedAudience;
  /** Identifies the request, so that a retry has no second effect. */
  readonly idempotencyKey: string;
}

/** What becomes of a message at a client that reads too slowly. */
export type OverflowPolicy = "live" | "volatile" | "latest" | "oldest";

/** A message to dispatch. */
export interface DispatchRequest extends AddressedRequest {
  readonly content: Message;
  /** Whether the message is stored until each user has received it. */
  readonly store: boolean;
  /** Undefined is `live`. */
  readonly policy: OverflowPolicy | undefined;
  /** With the policy `latest`: which queued message it replaces. */
  readonly key: string | undefined;
}

/** Sockets to close. */
export interface DisconnectRequest extends AddressedRequest {
  /** The close code; undefined is 1000. */
  readonly code: number | undefined;
  readonly reason: string | undefined;
}

export interface Transport {
  send(request: DispatchRequest, options: CallOptions): Promise<DispatchResult>;
  disconnect(request: DisconnectRequest, options: CallOptions): Promise<DispatchResult>;
  close(): Promise<void>;
}
