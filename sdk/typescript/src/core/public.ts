/**
 * What every entry shows of the shared core: the state machine's words, the options, the errors.
 */

export type { Connection, ConnectionState, OpenOptions, StateChange } from "./connection.js";
export type { Wait } from "./deadline.js";
export * from "./errors.js";
export type { ConnectionOptions, GetToken, TokenReason, WebSocketLike } from "./options.js";
