/**
 * The part of the core that every entry exports: connection states, options and errors.
 */

export type { Connection, ConnectionState, OpenOptions, StateChange } from "./connection.js";
export type { HistoryMessage, HistoryOptions, RoomHistory } from "./history.js";
export { RateLimitedError, RefusedError, type RefusedEvent } from "./refusedError.js";
export type { Gap, Joined, Position, Recovery, RoomRecovery } from "./session.js";
export type { CallOptions } from "./timeout.js";
export {
  AbortedError,
  AuthenticationFailedError,
  ConnectFailedError,
  DisconnectedError,
  BadDataError,
  ListenerFailedError,
  NotConnectedError,
  BadOptionError,
  BadFrameError,
  QueueFullError,
  SwitchboardError,
  TimeoutError,
  TokenFailedError,
  TooLargeError,
  type CloseInfo,
} from "./errors.js";
export type { ConnectionOptions, GetToken, TokenReason, WebSocketClass, WebSocketLike } from "./options.js";
