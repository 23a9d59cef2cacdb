/**
 * Hooks for what a room keeps, and for what the client has missed.
 */

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

import type { SwitchboardError } from "../core/errors.js";
import type { HistoryMessage, HistoryOptions, RoomHistory } from "../core/history.js";
import type { Gap, Recovery } from "../core/session.js";
import { useClient, type Client } from "./provider.js";

/** `EmitClient` and `Dispatch` raise the same events under other names. */
const RECOVERED = ["@recovered", "@@SWITCHBOARD/recovered"];
const GAP = ["@gap", "@@SWITCHBOARD/gap"];

interface HistoryClient extends Client {
  history(room: string | undefined, options?: HistoryOptions): Promise<RoomHistory>;
}

/** Options of `useHistory`. */
export interface HistoryHookOptions {
  /** Most messages of one read, up to 1,000. Default 50. */
  readonly limit?: number | undefined;
}

/** The messages of a room that were read. */
export interface HistoryState {
  /** The messages, oldest first. */
  readonly messages: readonly HistoryMessage[];
  /** Whether the room keeps messages before the first of these. */
  readonly hasOlder: boolean;
  /** Whether a read awaits its answer. */
  readonly pending: boolean;
  /** The error of the latest read, if it failed. */
  readonly error: SwitchboardError | undefined;
}

/** The state of `useHistory`, and functions that read more. They never reject; `error` has the failure. */
export interface HistoryHook extends HistoryState {
  /** Reads the messages before the first one. */
  readonly loadOlder: () => Promise<void>;
  /** Reads the latest messages again. */
  readonly reload: () => Promise<void>;
}

/** What the client has missed. */
export interface RecoveryState {
  /** Whether the latest connection has resumed the session; undefined before the first connection. */
  readonly resumed: boolean | undefined;
  /** The outcome for each room of the latest resume; undefined before the first. */
  readonly recovery: Recovery | undefined;
  /** The latest gap. */
  readonly gap: Gap | undefined;
}

const EMPTY: HistoryState = { messages: [], hasOlder: false, pending: false, error: undefined };

const NOTHING: RecoveryState = { resumed: undefined, recovery: undefined, gap: undefined };

/**
 * Reads the latest messages of a room once the client is connected, after a connection with a new session, and after a
 * gap in the room. Messages that arrive later are events; see `useEvent`. A `Dispatch` may leave out the room, for its
 * shard.
 */
export function useHistory(room?: string, { limit }: HistoryHookOptions = {}): HistoryHook {
  const client = useClient<HistoryClient>();
  const [state, setState] = useState(EMPTY);
  const shown = useRef(state);
  const pages = useRef<RoomHistory>(undefined);
  const latest = useRef<AbortController>(undefined);
  const read = useCallback(
    async (isOlder: boolean) => {
      latest.current?.abort();
      const { signal } = (latest.current = new AbortController());
      const update = (change: Partial<HistoryState>) => {
        if (!signal.aborted) setState((shown.current = { ...shown.current, ...change }));
      };
      update({ pending: true, error: undefined });
      const [first] = shown.current.messages;
      const before = isOlder && first && pages.current ? { epoch: pages.current.epoch, offset: first.offset } : undefined;
      try {
        const page = (pages.current = await client.history(room, { before, limit, signal }));
        const messages = before ? [...page.messages, ...shown.current.messages] : page.messages;
        update({ messages, hasOlder: (page.messages[0]?.offset ?? page.first) > page.first, pending: false });
      } catch (error) {
        update({ error: error as SwitchboardError, pending: false });
      }
    },
    [client, room, limit],
  );
  useEffect(() => {
    const { connection } = client;
    const removers = [
      connection.onChange(({ state, resumed }) => void (state === "connected" && !resumed && read(false))),
      ...GAP.map((event) => connection.listeners.add(event, (gap: Gap) => void (concerns(gap, room) && read(false)))),
    ];
    setState((shown.current = EMPTY));
    if (connection.state === "connected") void read(false);
    return () => {
      latest.current?.abort();
      for (const remove of removers) remove();
    };
  }, [client, room, read]);
  const loadOlder = useCallback(() => read(true), [read]);
  const reload = useCallback(() => read(false), [read]);
  return { ...state, loadOlder, reload };
}

/** Returns whether the session was resumed, and what the client has missed; nothing when rendered on a server. */
export function useRecovery(): RecoveryState {
  const { connection } = useClient();
  const state = useRef(NOTHING);
  const subscribe = useCallback(
    (changed: () => void) => {
      const update = (change: Partial<RecoveryState>) => {
        state.current = { ...state.current, ...change };
        changed();
      };
      const { listeners } = connection;
      const removers = [
        connection.onChange(({ state, resumed }) => void (state === "connected" && update({ resumed }))),
        ...RECOVERED.map((event) => listeners.add(event, (recovery: Recovery) => update({ recovery }))),
        ...GAP.map((event) => listeners.add(event, (gap: Gap) => update({ gap }))),
      ];
      return () => removers.forEach((remove) => remove());
    },
    [connection],
  );
  return useSyncExternalStore(subscribe, () => state.current, () => NOTHING);
}

/** Whether messages of the room may be missing. A gap that names no room may be in any. */
function concerns(gap: Gap, room: string | undefined): boolean {
  const bare = (name: string) => name.replace(/^#/, "");
  return !gap.room || !room || bare(gap.room) === bare(room);
}
