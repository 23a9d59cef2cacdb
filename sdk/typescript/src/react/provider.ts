/**
 * The provider: makes a client available to a tree of components, and connects it while mounted.
 */

import { createContext, createElement, useContext, useEffect, useState, type ReactNode } from "react";

import { after } from "../core/after.js";
import type { Connection } from "../core/connection.js";
import { BadOptionError } from "../core/errors.js";

/** The part of a client that the hooks use; `EmitClient` and `Dispatch` have it. */
export interface Client {
  /** The connection of the client. */
  readonly connection: Connection;
}

/** The props of a provider. */
export interface ProviderProps {
  /** A client, or a function that creates one; it is called once per provider. */
  readonly client: Client | (() => Client);
  /** The components that may use the hooks. */
  readonly children?: ReactNode;
}

const Context = createContext<Client | undefined>(undefined);

/** The number of mounted providers per connection. */
const mounted = new WeakMap<Connection, number>();

/**
 * Connects the client when mounted, and disconnects it when its last provider unmounts. If the first
 * attempt fails, a client that reconnects keeps trying.
 */
export function SwitchboardProvider({ client, children }: ProviderProps): ReactNode {
  const [created] = useState(client);
  const current = typeof client === "function" ? created : client;
  useEffect(() => mount(current.connection), [current]);
  return createElement(Context.Provider, { value: current }, children);
}

/** Returns the client of the nearest provider. Throws `BadOptionError` if there is none. */
export function useClient<C extends Client = Client>(): C {
  const client = useContext(Context);
  if (!client) throw new BadOptionError("useClient needs a SwitchboardProvider above this component");
  return client as C;
}

function mount(connection: Connection): () => void {
  const count = (by: number) => mounted.set(connection, (mounted.get(connection) ?? 0) + by);
  count(1);
  // The state and error events carry the failure.
  connection.open({ retry: true }).catch(() => {});
  return () => {
    count(-1);
    // StrictMode unmounts and remounts synchronously; a provider that is mounted again by then keeps the connection.
    after(0, () => mounted.get(connection) || void connection.close());
  };
}
