/**
 * The messages that a room keeps: the options of a read, and its answer.
 */

import { OBJECT, wholeNumber, type Expectations } from "./check.js";
import type { Position } from "./session.js";
import { CALL_OPTIONS, type CallOptions } from "./timeout.js";

/** Options of `history`. */
export interface HistoryOptions extends CallOptions {
  /** Returns the latest messages before this position. */
  readonly before?: Position | undefined;
  /** Returns the oldest messages after this position. Not together with `before`; without both, the latest messages. */
  readonly after?: Position | undefined;
  /** Most messages, up to 1,000. Default 50. */
  readonly limit?: number | undefined;
}

/** A function, because bundlers keep a constant with a spread even if nothing uses it. */
export const historyOptions = (): Expectations<HistoryOptions> =>
  ({ ...CALL_OPTIONS, before: OBJECT, after: OBJECT, limit: wholeNumber(1000) });

/** A message in a history. */
export interface HistoryMessage<Data = unknown> {
  /** Its number. */
  readonly offset: number;
  /** The name of the event. */
  readonly event: string;
  /** Its data, not validated. */
  readonly data: Data;
  /** The id of the socket that sent it, or null if the server did. */
  readonly sender: string | null;
  /** When the server received it, in milliseconds since 1970. */
  readonly time: number;
}

/** A part of the history of a room. */
export interface RoomHistory<Data = unknown> {
  /** The name of the room, with its `#`. */
  readonly room: string;
  /** The version of the history. */
  readonly epoch: string;
  /** The offset of the latest message of the room; 0 if it has none yet. */
  readonly top: number;
  /** The offset of the oldest message that is kept; `top + 1` if none is. */
  readonly first: number;
  /** Whether messages between the position of the request and the answer may be missing. */
  readonly gap: boolean;
  /** The messages, oldest first. There may be fewer than requested, if they are large. */
  readonly messages: readonly HistoryMessage<Data>[];
}
