/**
 * A client for servers that speak emit: events, requests in both directions, reconnects.
 *
 * @packageDocumentation
 */

export * from "../core/public.js";
export type { Contract, ContractOf, Exchange, Schemas, Untyped } from "./contract.js";
export {
  connect,
  EmitClient,
  Namespace,
  type EmitCall,
  type EmitOptions,
  type SystemEvents,
} from "./emitClient.js";
export { RefusedError } from "./refusal.js";
export { ValidationError, type Issue, type StandardSchemaV1 } from "./schema.js";
