/**
 * The types of an application's events: what may be said, and what is answered.
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

import type { StandardSchemaV1 } from "./schema.js";

/** Every member may be left out; what is left out cannot be used. */
export interface Contract {
  /** What the client sends without wanting a reply: event to data. */
  readonly emits?: object;
  /** What the client serverRequests: event to `{ data, reply }`. */
  readonly requests?: object;
  /** What the server sends: event to data. */
  readonly events?: object;
  /** What the server serverRequests: event to `{ data, reply }`. */
  readonly serverRequests?: object;
}

/** No contract: every name is good, and data has the type that the caller says. */
export interface UntypedContract extends Contract {
  /** What tells it from a contract. */
  readonly untyped: true;
}

/** Schemas that are looked at while the program runs; each must answer at once. */
export interface Schemas {
  /** Of what the client sends. */
  readonly emits?: { readonly [event: string]: StandardSchemaV1 };
  /** Of what the client serverRequests. */
  readonly requests?: { readonly [event: string]: RequestSchemas };
  /** Of what the server sends. */
  readonly events?: { readonly [event: string]: StandardSchemaV1 };
  /** Of what the server serverRequests. */
  readonly serverRequests?: { readonly [event: string]: RequestSchemas };
}

/** The schemas of a question and its answer. */
export interface RequestSchemas {
  /** Of the question; without it any will do. */
  readonly data?: StandardSchemaV1;
  /** Of the answer; without it any will do. */
  readonly reply?: StandardSchemaV1;
}

/** The contract that schemas describe. */
export type ContractOf<S extends Schemas> = {
  /** What the client may send. */
  emits: Outputs<S["emits"]>;
  /** What the client may ask. */
  requests: RequestTypes<S["requests"]>;
  /** What the server may send. */
  events: Outputs<S["events"]>;
  /** What the server may ask. */
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

/** The members of one part of a contract under a prefix, by their names without it. */
type Under<C extends Contract, P extends Part, Prefix extends string> = {
  [Name in keyof NonNullable<C[P]> as Name extends `${Prefix}${infer Rest}` ? Rest : never]: NonNullable<
    C[P]
  >[Name];
};

/** The contract as it is seen in a namespace. */
export type ContractUnder<C extends Contract, Prefix extends string> = C extends UntypedContract
  ? UntypedContract
  : {
      [P in Part]: Under<C, P, Prefix>;
    };

/** The names of one part; none without a contract, so that the untyped overloads are taken. */
export type Names<C extends Contract, P extends Part> = C extends UntypedContract
  ? never
  : keyof NonNullable<C[P]> & string;

/** Every name without a contract, none with one. */
export type AnyName<C extends Contract> = C extends UntypedContract ? string : never;

export type DataOf<C extends Contract, P extends Part, N> = Member<NonNullable<C[P]>, N>;
export type RequestDataOf<C extends Contract, P extends Part, N> = Member<DataOf<C, P, N>, "data">;
export type ReplyOf<C extends Contract, P extends Part, N> = Member<DataOf<C, P, N>, "reply">;

type Member<T, N> = N extends keyof T ? T[N] : undefined;

/** What stands behind the event's name: data may be left out where nothing, or anything, will do. */
export type Arguments<Data, Options> = undefined extends Data
  ? [data?: Data, options?: Options]
  : [data: Data, options?: Options];
