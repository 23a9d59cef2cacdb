/**
 * React hooks for a client of `/client` or `/dispatch`.
 *
 * Rendering has no side effects: a client connects when its provider is mounted, so the same components
 * can be rendered on a server.
 *
 * @packageDocumentation
 */

export { SwitchboardProvider, useClient, type Client, type ProviderProps } from "./provider.js";
export { useConnectedClients, useConnectionState, useEvent, usePresence } from "./subscriptions.js";
export {
  useHistory,
  useRecovery,
  type HistoryHook,
  type HistoryHookOptions,
  type HistoryState,
  type RecoveryState,
} from "./history.js";
export { useRequest, type RequestHook, type RequestState } from "./request.js";
export { createEmitHooks, createShardHooks, type EmitHooks, type ShardHooks } from "./typedHooks.js";
