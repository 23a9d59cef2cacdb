/**
 * The client of a tree of components: connected while its provider is mounted.
 */

import { createContext, createElement, useContext, useEffect, useState, type ReactNode } from "react";

import type { Connection } from "../core/connection.js";

/** What the hooks need of a client; `EmitClient` and `Dispatch` have it. */
export interface Client {
  /** Its state machine. */
  readonly connection: Connection;
}

/** What a provider is given. */
export interface ProviderProps {
  /** A client, or a function that makes one; it is called once for the provider's life. */
  readonly client: Client | (() => Client);
  /** What may use the hooks. */
  readonly children?: ReactNode;
}

const Context = createContext<Client | undefined>(undefined);

/** How many providers hold a connection. */
const holders = new WeakMap<Connection, number>();

/**
 * Connects when mounted, and disconnects when the last provider of that client is gone. Where the
 * first try fails it goes on as after a later loss, if the client reconnects.
 */
export function SwitchboardProvider({ client, children }: ProviderProps): ReactNode {
  const [made] = useState(client);
  const current = typeof client === "function" ? made : client;
  useEffect(() => hold(current.connection), [current]);
  return createElement(Context.Provider, { value: current }, children);
}

/** The client of the nearest provider. */
export function useClient<C extends Client = Client>(): C {
  const client = useContext(Context);
  if (!client) throw new Error("there is no SwitchboardProvider above this component");
  return client as C;
}

function hold(connection: Connection): () => void {
  const count = (by: number) => {
    const held = (holders.get(connection) ?? 0) + by;
    holders.set(connection, held);
    return held;
  };
  count(1);
  // Why it failed is told to whoever watches the state.
  connection.open({ retry: true }).catch(() => {});
  return () => {
    count(-1);
    // StrictMode unmounts and mounts again in one go; what is mounted by then stays connected.
    setTimeout(() => holders.get(connection) || void connection.close());
  };
}
