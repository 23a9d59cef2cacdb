/**
 * Hooks for a client of `/client` or `/dispatch`.
 *
 * Nothing happens while a component renders: a client connects when its provider is mounted, so a
 * server can render the same components.
 *
 * @packageDocumentation
 */

export { SwitchboardProvider, useClient, type Client, type ProviderProps } from "./provider.js";
export { useConnectedClients, useConnectionState, useEvent, usePresence } from "./subscriptions.js";
export { useRequest, type RequestState } from "./request.js";
