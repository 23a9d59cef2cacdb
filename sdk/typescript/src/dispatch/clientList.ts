/**
 * Who is on the shard, from whole lists and from changes.
 *
 * Each change is the next version of the list; one that is not means that some were missed, and
 * changes do not count until the next whole list.
 */

import { isObject, type Members } from "../core/json.js";
import type { ConnectedClient, ConnectedClients } from "./events.js";

export class ClientList {
  /** As the server sends it; replaced and never changed. */
  byId: ConnectedClients = {};
  #version: unknown;
  #array: readonly ConnectedClient[] = [];

  /** The same array until somebody comes, goes or changes. */
  get array(): readonly ConnectedClient[] {
    return this.#array;
  }

  /** Whether this is the list that is here: both say their version. */
  has({ version }: Members): boolean {
    return typeof version === "number" && version === this.#version;
  }

  /** Changes do not count until the next whole list. */
  outdate(): void {
    this.#version = undefined;
  }

  /** Takes a whole list; false if it is none. */
  replace({ connectedClients, version }: Members): boolean {
    return isObject(connectedClients) && this.#set(connectedClients, version);
  }

  /** Takes changes; false if others before them were missed, or if they are none. */
  change({ version, joined, updated, left }: Members): boolean {
    if (version !== (this.#version as number) + 1 || !isObject(joined) || !isObject(updated)) return false;
    const clients = { ...this.byId, ...joined, ...updated };
    for (const id of left as readonly string[]) delete clients[id];
    return this.#set(clients, version);
  }

  #set(clients: Members, version: unknown): true {
    this.byId = clients as ConnectedClients;
    this.#version = version;
    this.#array = Object.entries(this.byId).map(([clientId, entry]) => ({ clientId, ...entry }));
    return true;
  }
}
