/**
 * The hooks with the types of a contract. They are the same functions.
 */

import type { Contract, DataOf, Names, ReplyOf, RequestDataOf } from "../client/contract.js";
import type { EmitClient, SystemEvents } from "../client/emitClient.js";
import type { ConnectionState } from "../core/connection.js";
import type { CallOptions } from "../core/timeout.js";
import type { EventNames, ListedUserInfoOf, ReceivedPayloadOf, ShardContract } from "../dispatch/contract.js";
import type { Dispatch, PlatformEvents } from "../dispatch/dispatch.js";
import type { ConnectedClient, EventMetadata } from "../dispatch/events.js";
import { useHistory, useRecovery, type HistoryHook, type HistoryHookOptions, type RecoveryState } from "./history.js";
import { useClient } from "./provider.js";
import { useRequest, type RequestHook } from "./request.js";
import { useConnectedClients, useConnectionState, useEvent } from "./subscriptions.js";

/** The hooks for an `EmitClient` with the contract `C`. */
export interface EmitHooks<C extends Contract> {
  /** Returns the client of the nearest provider. */
  useClient(): EmitClient<C>;
  /** Returns the state of the connection. */
  useConnectionState(): ConnectionState;
  /** Calls the listener of the latest render for every event of that name while mounted. */
  useEvent<N extends Names<C, "events"> | keyof SystemEvents>(
    event: N,
    listener: (data: N extends keyof SystemEvents ? SystemEvents[N] : DataOf<C, "events", N>) => unknown,
  ): void;
  /** Reads the messages that a room keeps. */
  useHistory(room: string, options?: HistoryHookOptions): HistoryHook;
  /** Returns whether the session was resumed, and what the client has missed. */
  useRecovery(): RecoveryState;
  /** Sends requests and holds the state of the latest one. */
  useRequest<N extends Names<C, "requests">>(
    event: N,
    options?: CallOptions,
  ): RequestHook<ReplyOf<C, "requests", N>, RequestDataOf<C, "requests", N>>;
}

/** The hooks for a `Dispatch` with the contract `C`. */
export interface ShardHooks<C extends ShardContract> {
  /** Returns the client of the nearest provider. */
  useClient(): Dispatch<C>;
  /** Returns the state of the connection. */
  useConnectionState(): ConnectionState;
  /** Calls the listener of the latest render for every event of that name while mounted. */
  useEvent<N extends EventNames<C> | keyof PlatformEvents>(
    event: N,
    listener: (
      ...args: N extends keyof PlatformEvents
        ? [payload: PlatformEvents<ListedUserInfoOf<C>>[N]]
        : [payload: ReceivedPayloadOf<C, N>, metadata: EventMetadata]
    ) => unknown,
  ): void;
  /** Reads the messages that a room keeps; by default the shard. */
  useHistory(room?: string, options?: HistoryHookOptions): HistoryHook;
  /** Returns whether the session was resumed, and what the client has missed. */
  useRecovery(): RecoveryState;
  /** Returns the member list. */
  useConnectedClients(): readonly ConnectedClient<ListedUserInfoOf<C>>[];
}

/** Returns the hooks for an `EmitClient` with a contract: `const { useRequest } = createEmitHooks<Chat>()`. */
export function createEmitHooks<C extends Contract>(): EmitHooks<C> {
  return { useClient, useConnectionState, useEvent, useHistory, useRecovery, useRequest } as unknown as EmitHooks<C>;
}

/** Returns the hooks for a `Dispatch` with a contract: `const { useEvent } = createShardHooks<Game>()`. */
export function createShardHooks<C extends ShardContract>(): ShardHooks<C> {
  return { useClient, useConnectionState, useEvent, useHistory, useRecovery, useConnectedClients } as unknown as ShardHooks<C>;
}
