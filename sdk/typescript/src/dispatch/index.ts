/**
 * Koji Dispatch: real-time events between the visitors of a page, without a backend.
 *
 * @packageDocumentation
 */

import { Dispatch } from "./dispatch.js";

export * from "../core/exports.js";
export {
  Dispatch,
  type DispatchConfig,
  type DispatchOptions,
  type EmitEventOptions,
  type PlatformEvents,
} from "./dispatch.js";
export {
  DISPATCH_EVENT,
  type ConnectedClient,
  type ConnectedClients,
  type ConnectionInfo,
  type EventMetadata,
  type ShardInfo,
} from "./events.js";

export default Dispatch;

/** A shared instance for pages that need only one. */
export const dispatch: Dispatch = /* @__PURE__ */ new Dispatch();
