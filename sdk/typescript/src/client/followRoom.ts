/**
 * The messages of a room: those that it keeps, then live ones, each once and in order.
 */

import type { HistoryMessage, RoomHistory } from "../core/history.js";
import type { Gap, Position, Recovery } from "../core/session.js";
import type { Contract } from "./contract.js";
import type { EmitClient, SystemEvents } from "./emitClient.js";

/** The most messages of one read. */
const PAGE_MAX = 1000;

/** The most live messages that wait for a read. If more arrive, they are read as well. */
const HELD_MAX = 1000;

/** A message of a room that keeps messages. */
export interface RoomMessage<Data = unknown> {
  /** The name of the event. */
  readonly event: string;
  /** Its data, not validated. */
  readonly data: Data;
  /** Its place in the history of the room. */
  readonly position: Position;
  /** Whether it was read from the history. */
  readonly isKept: boolean;
}

/** Options of `followRoom`. */
export interface FollowOptions {
  /** Joins the room; called at first and whenever the server has made a new session. Without it the program joins by itself, before the call. */
  readonly join?: (() => unknown) | undefined;
  /** Most messages that are read from the history at first, up to 1,000. Default 50. */
  readonly limit?: number | undefined;
  /** Called when messages are lost: they are gone from the history, or the history has begun anew. Later messages follow. */
  readonly onGap?: (() => unknown) | undefined;
}

/**
 * Joins a room, calls `listener` with the messages that the room keeps, oldest first, and then with each new one. No message is
 * passed twice, and none is left out, also over reconnects: what the client missed is read from the history. Resolves with a
 * function that ends this, when the first messages were passed.
 *
 * The client needs `reconnect`, for with `resume` the server sends positions. Rejects like `EmitClient.history`, and with the error of
 * `join`. Later errors are raised as `@error`. Messages that are not kept, such as volatile ones, are not passed.
 */
export async function followRoom<Data = unknown, C extends Contract = Contract>(
  client: EmitClient<C>,
  room: string,
  listener: (message: RoomMessage<Data>) => unknown,
  { join, limit, onGap }: FollowOptions = {},
): Promise<() => void> {
  const { listeners } = client.connection;
  const name = `#${room.replace(/^#/, "")}`;
  /** The latest message that was passed, or the end of the history before the first one. */
  let last: Position | undefined;
  /** Live messages that arrived during a read. */
  let held: RoomMessage<Data>[] | undefined;
  /** How often too many messages arrived during a read. */
  let dropped = 0;
  /** Of several reads the latest continues. */
  let reads = 0;

  const pass = (message: RoomMessage<Data>) => {
    const { position } = message;
    if (last?.epoch === position.epoch && position.offset <= last.offset) return;
    last = position;
    listeners.run(message.event, listener, [message]);
  };

  const passPage = (page: RoomHistory<Data>) => {
    for (const { event, data, offset } of page.messages as readonly HistoryMessage<Data>[]) {
      pass({ event, data, position: { epoch: page.epoch, offset }, isKept: true });
    }
  };

  /** Passes what has arrived during a read. */
  const release = () => {
    const arrived = held ?? [];
    held = undefined;
    arrived.forEach(pass);
  };

  /** Reads what follows the last message, or the latest messages at first and in another epoch. Returns false if another read follows. */
  const readOnce = async (number: number): Promise<boolean> => {
    const isFollowing = last !== undefined;
    for (let isComplete = false; !isComplete; ) {
      const isLatest = !last;
      const droppedBefore = dropped;
      const page = await client.history<Data>(name, last ? { after: last, limit: PAGE_MAX } : { limit: isFollowing ? PAGE_MAX : limit });
      if (number !== reads) return false;
      if (page.gap) onGap?.();
      if (last && last.epoch !== page.epoch) {
        last = undefined;
        continue;
      }
      passPage(page);
      isComplete = (isLatest || !page.messages.length) && dropped === droppedBefore;
      // Messages that excluded the client are counted, and not in the page.
      if (isLatest || isComplete) last = { epoch: page.epoch, offset: page.top };
    }
    return true;
  };

  const read = async (mustJoin: boolean): Promise<void> => {
    const number = ++reads;
    held ??= [];
    try {
      if (mustJoin) await join?.();
      if (await readOnce(number)) release();
    } catch (error) {
      if (number === reads) throw error;
    }
  };

  const readAgain = (mustJoin: boolean) =>
    void read(mustJoin).catch((error) => {
      // The next connection reads again.
      if (!client.connected) return;
      onGap?.();
      release();
      listeners.report(error);
    });

  const removers = [
    listeners.add("@any", ({ event, data, room: of, position }: SystemEvents["@any"]) => {
      if (of !== name || !position) return;
      const message = { event, data: data as Data, position, isKept: false };
      if (!held) pass(message);
      else if (held.length < HELD_MAX) held.push(message);
      else {
        held = [];
        dropped++;
      }
    }),
    listeners.add("@connection", ({ resumed }: SystemEvents["@connection"]) => {
      // A read that the cut has ended begins again.
      if (!resumed || held) readAgain(!resumed);
    }),
    listeners.add("@recovered", ({ rooms }: Recovery) => {
      if (rooms[name]?.recovered === false) readAgain(false);
    }),
    listeners.add("@gap", ({ room: of }: Gap) => {
      if (!of || of === name) readAgain(false);
    }),
  ];
  const stop = () => {
    reads++;
    removers.forEach((remove) => remove());
  };
  try {
    await read(true);
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}
