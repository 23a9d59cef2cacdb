/**
 * For backends on Node: sends to users from any process, hears what Mesa clients do, and makes tokens. By the
 * names of Cryb Mesa's Dispatcher and Portal.
 *
 * @packageDocumentation
 */

export type { CallOptions } from "../core/timeout.js";
export {
  AbortedError,
  ConnectError,
  EncodeError,
  ListenerError,
  NotConnectedError,
  OptionError,
  ProtocolError,
  SwitchboardError,
  TimeoutError,
  TooLargeError,
  type CloseInfo,
  type ErrorClass,
} from "../core/errors.js";
export { Message, type MessageOptions } from "../mesa/message.js";
export type { Audience, Recipients } from "./audience.js";
export {
  Dispatcher,
  type DisconnectOptions,
  type DispatchOptions,
} from "./dispatcher.js";
export { ApiError, MissingDependencyError, RedisError, UnsupportedError } from "./errors.js";
export { DispatchEvent, type DispatchAction } from "./dispatchEvent.js";
export type { DispatcherOptions, SyncOptions } from "./options.js";
export { Portal, type PortalEvents, type PortalOptions } from "./portal.js";
export type { RedisAddress, RedisOptions } from "./redisConnection.js";
export type { DispatchResult } from "./transport.js";
export { signToken, type Claims, type TokenOptions } from "./token.js";
