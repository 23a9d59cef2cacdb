/**
 * Cryb Mesa: messages between a server and its users, by its own client's calls.
 *
 * @packageDocumentation
 */

export * from "../core/exports.js";
export {
  AuthenticationError,
  Client,
  type AuthenticateOptions,
  type ClientEvents,
  type ClientOptions,
  type ConnectionKind,
  type Disconnection,
} from "./client.js";
export type { AuthorizationOptions } from "../core/tokenRefresh.js";
export { Message, type MessageOptions } from "./message.js";
