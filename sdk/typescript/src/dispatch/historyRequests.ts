/**
 * The requests of a Koji client for the history of a room.
 */

import { check, STRING } from "../core/check.js";
import type { Connection } from "../core/connection.js";
import { historyOptions, type HistoryOptions, type RoomHistory } from "../core/history.js";
import { encode, isObject, type JsonObject } from "../core/json.js";
import { RefusedError } from "../core/refusedError.js";
import { withTimeout } from "../core/timeout.js";
import { HISTORY } from "./events.js";

interface Pending {
  readonly resolve: (history: RoomHistory) => void;
  readonly reject: (error: Error) => void;
}

export class HistoryRequests {
  readonly #pending = new Map<unknown, Pending>();
  #lastId = 0;

  /** Sends a request. Without a room it is about the shard of the client. */
  read(connection: Connection, room: string | undefined, options: HistoryOptions | undefined): Promise<RoomHistory> {
    const { before, after, limit } = options ?? {};
    const wait = { subject: "history", timeout: 10_000, options, known: historyOptions() };
    return withTimeout<RoomHistory, HistoryOptions>(wait, (resolve, reject) => {
      check("the room", room ?? "", STRING);
      const id = ++this.#lastId;
      if (!connection.send(encode({ eventName: HISTORY, payload: { id, room, before, after, limit } }), true)) throw connection.notConnected();
      this.#pending.set(id, { resolve, reject });
      return () => this.#pending.delete(id);
    });
  }

  /** Takes an answer of the server. */
  answered({ id, history, error }: JsonObject): void {
    const pending = this.#pending.get(id);
    if (isObject(error)) pending?.reject(new RefusedError(String(error["message"]), String(error["code"])));
    else pending?.resolve(history as unknown as RoomHistory);
  }

  /** The connection is lost, and with it the answers. */
  lost(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
  }
}
