/**
 * Who is on the shard, from whole lists and from changes.
 *
 * Each change is the next version of the list; one that is not means that some were missed, and
 * changes do not count until the next whole list.
 */

import type { Connection } from "../core/connection.js";
import { isObject, type JsonObject } from "../core/json.js";
import { CLIENTS_CHANGED, GET_CLIENTS, type ConnectedClient, type ConnectedClients } from "./events.js";

/** Asks for the whole list, which also is a sign of life. */
export const MEMBER_LIST_REQUEST = `{"eventName":"${GET_CLIENTS}"}`;

/** While the list is on its way, in place of its version. */
const ASKED = "asked";

export class MemberList {
  /** As the server sends it; replaced and never changed. */
  byId: ConnectedClients = {};
  /** The same array until somebody comes, goes or changes. */
  array: readonly ConnectedClient[] = [];
  /** A number, or else no change counts: undefined where the server tells none, or `ASKED`. */
  version: unknown;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Takes a whole list; false if it is none. */
  replace(clients: unknown, version?: unknown): boolean {
    if (!isObject(clients)) return false;
    // The answer to a probe is no news.
    if (version !== undefined && version === this.version) return true;
    this.byId = clients as ConnectedClients;
    this.version = version;
    this.array = Object.entries(this.byId).map(([clientId, entry]) => ({ clientId, ...entry }));
    this.#connection.listeners.call(CLIENTS_CHANGED, { connectedClients: clients });
    return true;
  }

  /** Takes changes. Throws if they are none. */
  change({ version, joined, updated, left }: JsonObject): void {
    if (version === (this.version as number) + 1) {
      const clients: { [id: string]: unknown } = { ...this.byId, ...(joined as object), ...(updated as object) };
      for (const id of left as string[]) delete clients[id];
      this.replace(clients, version);
    } else {
      if (this.version !== ASKED) this.#connection.send(MEMBER_LIST_REQUEST, true);
      this.version = ASKED;
    }
  }
}
