/**
 * For backends on Node: dispatches messages to users, receives reports of client actions, and signs tokens. The API
 * follows the Dispatcher and Portal of `@cryb/mesa`.
 *
 * @packageDocumentation
 */

export type { CallOptions } from "../core/timeout.js";
export {
  AbortedError,
  ConnectFailedError,
  BadDataError,
  ListenerFailedError,
  NotConnectedError,
  BadOptionError,
  BadFrameError,
  SwitchboardError,
  TimeoutError,
  TooLargeError,
  type CloseInfo,
} from "../core/errors.js";
export { Message, type MessageOptions } from "../mesa/message.js";
export type { Audience, Recipients } from "./audience.js";
export {
  Dispatcher,
  type DisconnectOptions,
  type DispatcherEvents,
  type DispatchOptions,
  type SendOptions,
} from "./dispatcher.js";
export { ApiError, MissingDependencyError, RedisFailedError, UnsupportedError } from "./errors.js";
export { DispatchEvent, type DispatchAction } from "./dispatchEvent.js";
export type { DispatcherOptions, SyncOptions } from "./options.js";
export { Portal, type PortalEvents, type PortalOptions } from "./portal.js";
export type { RedisAddress, RedisOptions } from "./redisConnection.js";
export type { DispatchResult, OverflowPolicy } from "./transport.js";
export { signToken, type Claims, type TokenOptions } from "./token.js";
