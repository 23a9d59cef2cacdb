/**
 * Koji Dispatch: realtime among the visitors of a page that has no server of its own.
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

/** The one of the page, for programs that have only one. */
export const dispatch: Dispatch = /* @__PURE__ */ new Dispatch();
