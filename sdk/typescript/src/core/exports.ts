/**
 * What every entry shows of the shared core: the state machine's words, the options, the errors.
 */

export type { Connection, ConnectionState, OpenOptions, StateChange } from "./connection.js";
export type { CallOptions } from "./timeout.js";
export {
  AbortedError,
  ConnectError,
  DisconnectedError,
  EncodeError,
  ListenerError,
  NotConnectedError,
  OptionError,
  ProtocolError,
  QueueFullError,
  SwitchboardError,
  TimeoutError,
  TokenError,
  TooLargeError,
  type CloseInfo,
  type ErrorClass,
} from "./errors.js";
export type { ConnectionOptions, GetToken, TokenReason, WebSocketClass, WebSocketLike } from "./options.js";
