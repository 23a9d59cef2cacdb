/**
 * Cryb Mesa: messages between a server and its users, by its own client's calls.
 *
 * @packageDocumentation
 */

export * from "../core/public.js";
export {
  AuthenticationError,
  Client,
  type AuthenticateOptions,
  type ClientEvents,
  type ClientOptions,
  type ConnectionKind,
  type Disconnection,
} from "./client.js";
export type { Identity } from "../core/refresh.js";
export { Message, type MessageOptions } from "./message.js";
