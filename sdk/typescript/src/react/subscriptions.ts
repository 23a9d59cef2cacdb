/**
 * Hooks that subscribe to the events and state of a client.
 */

import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";

import type { ConnectionState } from "../core/connection.js";
import type { Unchecked } from "../core/unchecked.js";
import type { ConnectedClient, EventMetadata } from "../dispatch/events.js";
import { useClient, type Client } from "./provider.js";

interface ShardClient extends Client {
  readonly connectedClients: readonly ConnectedClient[];
  onConnectedClientsChanged(callback: () => void): () => void;
}

const NO_CLIENTS: readonly ConnectedClient[] = [];

/** Returns the state of the connection; `idle` when rendered on a server. */
export function useConnectionState(): ConnectionState {
  const { connection } = useClient();
  const subscribe = useCallback((changed: () => void) => connection.onChange(changed), [connection]);
  return useSyncExternalStore(subscribe, () => connection.state, () => "idle" as const);
}

/**
 * Calls the listener of the latest render for every event of that name while mounted. A listener for
 * `CONNECTED_CLIENTS_CHANGED` is also called with the current member list.
 */
export function useEvent<Data = Unchecked>(
  event: string,
  listener: (data: Data, metadata: EventMetadata) => unknown,
): void {
  const { listeners } = useClient().connection;
  const latest = useRef(listener);
  // Not during rendering: React may discard a render.
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(
    () => listeners.add(event, (data: Data, metadata: EventMetadata) => latest.current(data, metadata)),
    [listeners, event],
  );
}

/** Returns the member list of a `Dispatch`; empty when rendered on a server. */
export function useConnectedClients(): readonly ConnectedClient[] {
  const client = useClient<ShardClient>();
  const subscribe = useCallback(
    (changed: () => void) => client.onConnectedClientsChanged(changed),
    [client],
  );
  return useSyncExternalStore(subscribe, () => client.connectedClients, () => NO_CLIENTS);
}

/** An alias of {@link useConnectedClients}. */
export const usePresence: typeof useConnectedClients = useConnectedClients;
