/**
 * A client for servers that speak the emit protocol: events, requests in both directions, reconnects.
 *
 * @packageDocumentation
 */

export * from "../core/exports.js";
export type { Contract, ContractOf, UntypedContract } from "./contract.js";
export {
  connect,
  EmitClient,
  Namespace,
  type EmitOptions,
  type SystemEvents,
} from "./emitClient.js";
export { followRoom, type FollowOptions, type RoomMessage } from "./followRoom.js";
export type { EmitClientOptions } from "./options.js";
export type { RequestOptions } from "./requestOptions.js";
export { InvalidDataError, type Issue, type RequestSchemas, type Schemas, type StandardSchemaV1 } from "./schema.js";
