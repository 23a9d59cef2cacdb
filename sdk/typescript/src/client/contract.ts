/**
 * The types of an application's events and requests.
 *
 * ```ts
 * interface Chat {
 *   emits: { "/message": { text: string } };
 *   requests: { "/join": { data: { username: string }; reply: { joined: true } } };
 *   events: { message: { username: string; text: string } };
 *   serverRequests: { "/ready?": { data: { round: number }; reply: boolean } };
 * }
 * ```
 */

import type { RequestOptions } from "./requestOptions.js";
import type { Known, Unchecked } from "../core/unchecked.js";
import type { Schemas, StandardSchemaV1 } from "./schema.js";

/** The names and types of all events. Every part is optional; the methods of an absent part accept no name. */
export interface Contract {
  /** Events that the client sends: event to data. */
  readonly emits?: object;
  /** Requests of the client: event to `{ data, reply }`. */
  readonly requests?: object;
  /** Events that the server sends: event to data. */
  readonly events?: object;
  /** Requests of the server: event to `{ data, reply }`. */
  readonly serverRequests?: object;
}

/** No contract: every name is accepted, and the data is unchecked. */
export interface UntypedContract extends Contract {
  /** Distinguishes it from a contract. */
  readonly untyped: true;
}

/** The contract that the schemas describe. */
export type ContractOf<S extends Schemas> = {
  /** Events that the client may send. */
  emits: Outputs<S["emits"]>;
  /** Requests that the client may send. */
  requests: RequestTypes<S["requests"]>;
  /** Events that the server may send. */
  events: Outputs<S["events"]>;
  /** Requests that the server may send. */
  serverRequests: RequestTypes<S["serverRequests"]>;
};

type Output<S> = S extends StandardSchemaV1<unknown, infer Value> ? Value : unknown;
type Outputs<T> = { [Name in keyof T]: Output<T[Name]> };
type RequestTypes<T> = {
  [Name in keyof T]: {
    data: T[Name] extends { data: infer D } ? Output<D> : undefined;
    reply: T[Name] extends { reply: infer R } ? Output<R> : unknown;
  };
};

type Part = "emits" | "requests" | "events" | "serverRequests";

/** One part of a contract; an absent part has no members. */
type PartOf<C extends Contract, P extends Part> = [NonNullable<C[P]>] extends [never] ? object : NonNullable<C[P]>;

/** The members of one part of a contract whose names have the prefix, without it. */
type Under<C extends Contract, P extends Part, Prefix extends string> = {
  [Name in keyof PartOf<C, P> as Name extends `${Prefix}${infer Rest}` ? Rest : never]: PartOf<C, P>[Name];
};

/** The contract as seen from a namespace. */
export type ContractUnder<C extends Contract, Prefix extends string> = C extends UntypedContract
  ? UntypedContract
  : {
      [P in Part]: Under<C, P, Prefix>;
    };

/** The names of one part; without a contract any string. */
export type Names<C extends Contract, P extends Part> = C extends UntypedContract ? string : keyof PartOf<C, P> & string;

/** The data of an event. */
export type DataOf<C extends Contract, P extends Part, N> = C extends UntypedContract ? Unchecked : Member<PartOf<C, P>, N>;
/** The data of a request. */
export type RequestDataOf<C extends Contract, P extends Part, N> = C extends UntypedContract
  ? Unchecked
  : Member<DataOf<C, P, N>, "data">;
/** The reply to a request. */
export type ReplyOf<C extends Contract, P extends Part, N> = C extends UntypedContract
  ? Unchecked
  : Member<DataOf<C, P, N>, "reply">;

type Member<T, N> = N extends keyof T ? T[N] : undefined;

/** The arguments after the event name; data is optional if its type includes `undefined`. */
export type Arguments<Data, Options> = undefined extends Data
  ? [data?: Data, options?: Options]
  : [data: Data, options?: Options];

/** The arguments after a name that is wrong: the compiler is to blame the name only. */
export type AnyArguments<Options> = [data?: Unchecked, options?: Options];

/** `request` of a client: without a contract the caller may name the type of the reply. */
export type RequestMethod<C extends Contract> = C extends UntypedContract
  ? <Reply = Unchecked>(event: string, data?: unknown, options?: RequestOptions) => Promise<Reply>
  : <N extends string>(
      event: Known<N, Names<C, "requests">>,
      ...rest: [N] extends [Names<C, "requests">] ? Arguments<RequestDataOf<C, "requests", N>, RequestOptions> : AnyArguments<RequestOptions>
    ) => Promise<ReplyOf<C, "requests", N>>;
