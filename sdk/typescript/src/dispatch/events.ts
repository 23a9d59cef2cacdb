/**
 * The platform events of Koji: names and payloads.
 */

import type { Unchecked } from "../core/unchecked.js";

/** The prefix of platform events. Events of applications must not have it. */
export const PLATFORM = "@@KOJI_DISPATCH/";

export const CONNECTED = "@@KOJI_DISPATCH/CONNECTED";
export const CLIENTS_CHANGED = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED";
export const IDENTIFY = "@@KOJI_DISPATCH/IDENTIFY";
export const SET_USER_INFO = "@@KOJI_DISPATCH/SET_USER_INFO";

/** The platform events. The first group is the original's; the second is raised by this package and never sent. */
export const DISPATCH_EVENT = {
  /** The server has assigned a client id and a shard. */
  CONNECTED,
  /** The member list of the shard has changed. */
  CONNECTED_CLIENTS_CHANGED: CLIENTS_CHANGED,
  /** Sent by `identify`; never received. */
  IDENTIFY,
  /** Sent by `setUserInfo`; never received. */
  SET_USER_INFO,

  /** The server has accepted a token of this client. */
  IDENTIFIED: "@@KOJI_DISPATCH/identified",
  /** The client has reconnected. */
  RECONNECTED: "@@KOJI_DISPATCH/reconnect",
  /** The messages that were missed before the session was resumed have arrived. */
  RECOVERED: "@@SWITCHBOARD/recovered",
  /** Messages are lost. */
  GAP: "@@SWITCHBOARD/gap",
  /** The server has refused an event. */
  REFUSED: "@@SWITCHBOARD/refused",
  /** The connection has closed. */
  DISCONNECTED: "@@KOJI_DISPATCH/disconnect",
  /** A state transition. */
  STATE: "@@KOJI_DISPATCH/state",
  /** An error that no promise carries. */
  ERROR: "@@KOJI_DISPATCH/error",
} as const;

/** The events of a server about the session, on connections that resume it. */
export const SESSION = "@@SWITCHBOARD/session";
export const RESUME = "@@SWITCHBOARD/resume";

/** A request for the history of a room, and its answer. */
export const HISTORY = "@@SWITCHBOARD/history";
/** The server goes away; the client moves to another node. */
export const GOAWAY = "@@SWITCHBOARD/goaway";

/** Sent by servers in place of the full list, on connections that request changes. */
export const CLIENTS_CHANGES = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES";

/** The server's answer to a token, on connections that request answers. */
export const TOKEN_ANSWER = "@@SWITCHBOARD/identified";

/** Requests the full list. */
export const GET_CLIENTS = "@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS";

/** The identity of a connection. A reconnect assigns a new one, unless it resumes the session. */
export interface ConnectionInfo {
  /** The id of this client, assigned by the server. */
  readonly clientId: string;
  /** The shard of this client. */
  readonly shardName: string;
}

/** A shard of the project. */
export interface ShardInfo {
  /** The name of the shard. */
  readonly shardName: string;
  /** The number of members at the time of the request. */
  readonly numConnectedClients: number;
}

/** The user info of a client, without a contract. */
export type UncheckedUserInfo = { readonly [name: string]: Unchecked };

/** The user that a token has bound this client to. */
export interface Identity {
  /** The id of the user. */
  readonly user: string;
}

/** A member of the shard. */
export interface ConnectedClient<UserInfo = UncheckedUserInfo> {
  /** The id of the client, assigned by the server. */
  readonly clientId: string;
  /** The client's latest user info; `{}` before it sets any. */
  readonly userInfo: UserInfo;
  /** When the server last received a message from the client, in ms since 1970, as of this entry's last update. */
  readonly lastPing: number;
}

/** The members of the shard by client id, as the server sends them. */
export type ConnectedClients<UserInfo = UncheckedUserInfo> = {
  readonly [clientId: string]: Omit<ConnectedClient<UserInfo>, "clientId">;
};

/** Metadata that the server adds to an event. */
export interface EventMetadata {
  /** Milliseconds between receiving and forwarding the event at the server. */
  readonly latencyMs: number;
  /** The sender, as the server knows it; undefined if the server application sent the event. */
  readonly clientId: string | undefined;
  /** When the server received the event, in ms since 1970; undefined if the payload is not an object. */
  readonly timestamp: number | undefined;
}
