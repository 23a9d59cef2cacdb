/**
 * Cryb Mesa: messages between a server and its users. The API follows the client of `@cryb/mesa`.
 *
 * @packageDocumentation
 */

export * from "../core/exports.js";
export {
  Client,
  type AuthenticateOptions,
  type ClientEvents,
  type ClientOptions,
  type ConnectionKind,
  type Disconnection,
} from "./client.js";
export type { AuthorizationOptions } from "../core/tokenRefresh.js";
export { Message, type MessageOptions } from "./message.js";
