/**
 * The session at the server, which a client resumes after it has lost its connection.
 */

import { isObject, type JsonObject } from "./json.js";

/** The subprotocol of a client that shows a ticket; the server selects it and answers with `@session`. */
const SUBPROTOCOL = "switchboard";

/** Most rooms whose position is remembered because the page has read their history. */
const READ_MAX = 1000;

/** A place in the history of a room. */
export interface Position {
  /** The version of the history. It changes whenever messages may have been lost. */
  readonly epoch: string;
  /** The number of a message. */
  readonly offset: number;
}

/** The outcome of a resume for the rooms of a client, by name with `#`. */
export interface Recovery {
  /** All rooms of the client. */
  readonly rooms: Readonly<Record<string, RoomRecovery>>;
}

/** Messages that the client will not receive. */
export interface Gap {
  /** The room, with `#`; undefined if the messages were not sent to exactly one. */
  readonly room?: string;
  /** How many messages were dropped because the client read too slowly. */
  readonly lost?: number;
  /** The offset of the first message of the room that is gone; undefined if its history has begun another epoch. */
  readonly from?: number;
  /** The offset of the last one. */
  readonly to?: number;
}

/** Where the history of a room was when the client joined the room. */
export interface Joined {
  /** The room, with `#`. */
  readonly room: string;
  /** Its latest message at that time. The client receives what follows. */
  readonly position: Position;
}

/** Whether a client has missed messages of a room. */
export type RoomRecovery =
  | {
      /** Every missed message has arrived. */
      readonly recovered: true;
      /** Their number. */
      readonly count: number;
    }
  | {
      /** Messages may be lost. */
      readonly recovered: false;
      /** The end of the room's history, if it has one. */
      readonly at?: Position;
    };

export class Session {
  /** The last known position of each room with a history. */
  #positions = new Map<unknown, Position>();
  /** For rooms of which no message has arrived: the end of their history when the page read it. */
  #read = new Map<unknown, Position>();
  #ticket: unknown;
  /** How long the server keeps the session without a connection, in ms. */
  #keepMs = 0;
  #lostAt: number | undefined;
  /** The id of the socket at the server, if the server has told it. */
  id: string | undefined;
  /** The server has yet to answer the ticket. */
  isAwaited = false;

  /** Takes the data of `@session`. Returns whether the session was resumed. */
  begin(data: unknown): boolean {
    const { ticket, seconds, resumed, id } = isObject(data) ? data : {};
    this.id = id as string | undefined;
    this.#ticket = ticket;
    this.#keepMs = Number(seconds) * 1000;
    this.#lostAt = undefined;
    this.isAwaited = false;
    // A new session is in no room.
    if (!resumed) for (const positions of [this.#positions, this.#read]) positions.clear();
    return resumed === true;
  }

  /**
   * Records the position of an event. Returns whether it is new: a message may arrive twice around a resume. If the history
   * of the room has begun another epoch since the last message, others may be lost: calls `lost` first.
   */
  isNew({ room, position }: JsonObject, lost: (gap: Gap) => void): boolean {
    if (!isObject(position)) return true;
    const { epoch, offset } = position as unknown as Position;
    const last = this.#positions.get(room);
    if (last && last.epoch === epoch && offset <= last.offset) return false;
    this.#positions.set(room, { epoch, offset });
    if (last && last.epoch !== epoch) lost({ room: room as string });
    return true;
  }

  /** Takes the data of `@recovered`: where the history of a room that was not recovered ends. */
  recovered(data: unknown): void {
    for (const [room, { at }] of Object.entries(Object((data as Recovery | null)?.rooms) as Record<string, { at?: Position }>)) {
      if (at) this.#positions.set(room, at);
    }
  }

  /** Takes the data of `@joined`. A message that has arrived in between is later. */
  joined(data: unknown): void {
    const { room, position } = Object(data) as Joined;
    if (isObject(position)) this.isNew({ room, position }, () => {});
  }

  /** The page has read the latest messages of a room: a resume continues behind them. */
  hasRead(room: string, position: Position): void {
    if (this.#read.size < READ_MAX) this.#read.set(room, position);
  }

  /** The positions, by room. */
  positions(): object {
    return Object.fromEntries([...this.#read, ...this.#positions]);
  }

  /** The connection is lost, or an attempt has failed. */
  lost(): void {
    this.#lostAt ??= Date.now();
  }

  /** The client has closed the connection itself, which ends the session. */
  end(): void {
    this.#ticket = undefined;
  }

  /** The subprotocols that show the ticket, for as long as the server keeps the session or while the client moves. */
  subprotocols(isMoving?: boolean): string[] | undefined {
    const isKept = isMoving || (this.#lostAt !== undefined && Date.now() < this.#lostAt + this.#keepMs);
    return isKept && typeof this.#ticket === "string" ? [SUBPROTOCOL, `ticket.${this.#ticket}`] : undefined;
  }

  /** The socket is open. Returns whether the answer to a ticket follows. */
  opened(subprotocol: string | undefined): boolean {
    return (this.isAwaited = subprotocol === SUBPROTOCOL);
  }
}
