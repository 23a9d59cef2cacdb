/**
 * Hooks that follow what a client hears.
 */

import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";

import type { ConnectionState } from "../core/connection.js";
import type { ConnectedClient, EventMetadata } from "../dispatch/events.js";
import { useClient, type Client } from "./provider.js";

interface ShardClient extends Client {
  readonly connectedClients: readonly ConnectedClient[];
  onConnectedClientsChanged(callback: () => void): () => void;
}

const NOBODY: readonly ConnectedClient[] = [];

/** The state of the connection; `idle` on a server. */
export function useConnectionState(): ConnectionState {
  const { connection } = useClient();
  const subscribe = useCallback((changed: () => void) => connection.onChange(changed), [connection]);
  return useSyncExternalStore(subscribe, () => connection.state, () => "idle" as const);
}

/** Calls the listener of the latest render for every event of that name, while mounted. */
export function useEvent<Data = unknown>(
  event: string,
  listener: (data: Data, metadata: EventMetadata) => unknown,
): void {
  const { listeners } = useClient().connection;
  const latest = useRef(listener);
  // Not while rendering, of which there may be some that never show.
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(
    () => listeners.add(event, (data: Data, metadata: EventMetadata) => latest.current(data, metadata)),
    [listeners, event],
  );
}

/** Everyone on the shard of a `Dispatch`; nobody on a server. */
export function useConnectedClients(): readonly ConnectedClient[] {
  const client = useClient<ShardClient>();
  const subscribe = useCallback(
    (changed: () => void) => client.onConnectedClientsChanged(changed),
    [client],
  );
  return useSyncExternalStore(subscribe, () => client.connectedClients, () => NOBODY);
}

/** {@link useConnectedClients} by its other name. */
export const usePresence: typeof useConnectedClients = useConnectedClients;
