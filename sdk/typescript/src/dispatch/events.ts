/**
 * The platform's events: names, shapes, and which of them go over the wire.
 */

/** What begins the platform's names; nobody else's events may have it. */
export const PLATFORM = "@@KOJI_DISPATCH/";

export const CONNECTED = "@@KOJI_DISPATCH/CONNECTED";
export const CLIENTS_CHANGED = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED";
export const IDENTIFY = "@@KOJI_DISPATCH/IDENTIFY";
export const SET_USER_INFO = "@@KOJI_DISPATCH/SET_USER_INFO";

/** Events to listen for. Those of the second group are this side's own. */
export const DISPATCH_EVENT = {
  /** The server has said who and where we are. */
  CONNECTED,
  /** Who is on the shard has changed. */
  CONNECTED_CLIENTS_CHANGED: CLIENTS_CHANGED,
  /** Sent by `identify`; never heard. */
  IDENTIFY,
  /** Sent by `setUserInfo`; never heard. */
  SET_USER_INFO,

  /** A later connection is open. */
  RECONNECTED: "@@KOJI_DISPATCH/reconnect",
  /** A connection that was open is gone. */
  DISCONNECTED: "@@KOJI_DISPATCH/disconnect",
  /** Every step of the state machine. */
  STATE: "@@KOJI_DISPATCH/state",
  /** What nobody waits for has failed. */
  ERROR: "@@KOJI_DISPATCH/error",
} as const;

/** Sent by servers that were asked for changes in place of the list. */
export const CHANGES = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES";

/** Asks for the list. */
export const GET_CLIENTS = "@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS";

/** Who and where a client is. Another after every reconnect. */
export interface ConnectionInfo {
  /** Ours, given by the server. */
  readonly clientId: string;
  /** Where we are. */
  readonly shardName: string;
}

/** A shard of the project. */
export interface ShardInfo {
  /** Its name. */
  readonly shardName: string;
  /** How many are on it, as of the question. */
  readonly numConnectedClients: number;
}

/** Somebody on the shard. */
export interface ConnectedClient {
  /** Theirs, given by the server. */
  readonly clientId: string;
  /** What they said last of themselves; `{}` before that. */
  readonly userInfo: { readonly [name: string]: unknown };
  /** When the server heard them last, in ms since 1970, as of the last message about them. */
  readonly lastPing: number;
}

/** Everyone on the shard by id, as the server sends it. */
export type ConnectedClients = { readonly [clientId: string]: Omit<ConnectedClient, "clientId"> };

/** What the server says about an event. */
export interface EventMetadata {
  /** From when the server read the event to when it passed it on, in ms. */
  readonly latencyMs: number;
  /** Who sent it; the server's word, not theirs. Undefined where the application sent it. */
  readonly clientId: string | undefined;
  /** When the server read it, in ms since 1970; undefined where the payload is no object. */
  readonly timestamp: number | undefined;
}
