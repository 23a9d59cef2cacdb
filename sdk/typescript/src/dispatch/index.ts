/**
 * Koji Dispatch: real-time events between the visitors of a page, without a backend.
 *
 * @packageDocumentation
 */

import type { UntypedShard } from "./contract.js";
import { Dispatch } from "./dispatch.js";

export * from "../core/exports.js";
export type { ListedUserInfoOf, PayloadMetadata, ShardContract, UntypedShard } from "./contract.js";
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
  type Identity,
  type ShardInfo,
  type UncheckedUserInfo,
} from "./events.js";

export default Dispatch;

/** A shared instance for pages that need only one. */
export const dispatch: Dispatch<UntypedShard> = /* @__PURE__ */ new Dispatch();
