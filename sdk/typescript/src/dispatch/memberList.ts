/**
 * The member list of a shard, built from full lists and changes.
 *
 * Each change carries the next version of the list. A gap in the versions means that a change was lost;
 * further changes are then ignored until the full list that is requested arrives.
 */

import type { Connection } from "../core/connection.js";
import { isObject, type JsonObject } from "../core/json.js";
import { EMIT_PROBE } from "../core/otherProtocol.js";
import { CLIENTS_CHANGED, GET_CLIENTS, type ConnectedClient, type ConnectedClients } from "./events.js";

/** Requests the full list. The connection also uses it as its probe. */
export const MEMBER_LIST_REQUEST = `{"eventName":"${GET_CLIENTS}"}`;

/** The same, as a message that servers of the emit protocol answer too. */
export const HELLO_PROBE = `{"eventName":"${GET_CLIENTS}",${EMIT_PROBE}}`;

/** Stands for the version while the full list is awaited; no version of a server equals it. */
const REQUESTED = {};

export class MemberList {
  /** The latest event, with the list by client id as the server sends it; undefined without a connection. */
  event: { readonly connectedClients: ConnectedClients } | undefined;
  /** The same array until the list changes. */
  array: readonly ConnectedClient[] = [];
  /** A number; undefined if the server sends no versions, or `REQUESTED`. */
  version: unknown;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Takes a full list. Returns false if `clients` is not a list. */
  replace(clients: unknown, version?: unknown): boolean {
    if (!isObject(clients)) return false;
    // The answer to a probe repeats the current version.
    if (version !== undefined && version === this.version) return true;
    this.event = { connectedClients: clients as ConnectedClients };
    this.version = version;
    this.array = Object.entries(this.event.connectedClients).map(([clientId, entry]) => ({ clientId, ...entry }));
    this.#connection.listeners.call(CLIENTS_CHANGED, this.event);
    return true;
  }

  /** The connection is closed. Listeners are called with an empty list, unless it was empty. */
  clear(): void {
    if (this.array.length) this.replace({});
    this.event = undefined;
  }

  /** Applies a change. Throws if its members have the wrong type. */
  change({ version, joined, updated, left }: JsonObject): void {
    if (version === (this.version as number) + 1) {
      const clients: { [id: string]: unknown } = { ...this.event?.connectedClients, ...(joined as object), ...(updated as object) };
      for (const id of left as string[]) delete clients[id];
      this.replace(clients, version);
    } else {
      if (this.version !== REQUESTED) this.#connection.send(MEMBER_LIST_REQUEST, true);
      this.version = REQUESTED;
    }
  }
}
