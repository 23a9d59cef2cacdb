/**
 * Validation of data by any library that implements Standard Schema (https://standardschema.dev).
 */

import { check, checkOptions, OBJECT, type Expectation, type Expectations } from "../core/check.js";
import { SwitchboardError } from "../core/errors.js";

/** The part of Standard Schema, version 1, that this package uses. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** The members that the standard defines. */
  readonly "~standard": {
    /** The version of the standard. */
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /** Validates a value. A promise counts as a failure, because validation must be synchronous. */
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    /** Types only; absent at run time. */
    readonly types?:
      | {
          /** The type that the schema accepts. */
          readonly input: Input;
          /** The type that the schema returns. */
          readonly output: Output;
        }
      | undefined;
  };
}

type Result<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

/** One problem in the data. */
export interface Issue {
  /** A description for people. */
  readonly message: string;
  /** The place in the data: names from the outermost in. */
  readonly path?:
    | readonly (
        | PropertyKey
        | {
            /** The name. */
            readonly key: PropertyKey;
          }
      )[]
    | undefined;
}

/** Schemas for validation at run time; each must be synchronous. */
export interface Schemas {
  /** For events that the client sends. */
  readonly emits?: { readonly [event: string]: StandardSchemaV1 };
  /** For requests of the client. */
  readonly requests?: { readonly [event: string]: RequestSchemas };
  /** For events that the server sends. */
  readonly events?: { readonly [event: string]: StandardSchemaV1 };
  /** For requests of the server. */
  readonly serverRequests?: { readonly [event: string]: RequestSchemas };
}

/** The schemas of a request and its reply. */
export interface RequestSchemas {
  /** Of the request; without it any data is accepted. */
  readonly data?: StandardSchemaV1;
  /** Of the reply; without it any data is accepted. */
  readonly reply?: StandardSchemaV1;
}

/** The data does not match its schema; it was not sent, or not delivered to listeners. */
export class InvalidDataError extends SwitchboardError {
  readonly code = "invalid_data";
  /** The event of the data. */
  readonly event: string;
  /** The problems; at least one. */
  readonly issues: readonly Issue[];
  override get name(): string {
    return "InvalidDataError";
  }

  /** Takes the event and the problems. */
  constructor(event: string, issues: readonly Issue[]) {
    super(`the data of ${event} does not match its schema: ${issues.map(inWords).join("; ")}`);
    this.event = event;
    this.issues = issues;
  }
}

function inWords({ message, path = [] }: Issue): string {
  const keys = path.map((key) => String(typeof key === "object" ? key.key : key));
  return keys.length ? `${keys.join(".")}: ${message}` : message;
}

const PARTS: Expectations<Schemas> = { emits: OBJECT, requests: OBJECT, events: OBJECT, serverRequests: OBJECT };

const isSchema = (value: unknown): boolean => Object(value) === value && "~standard" in (value as object);

const SCHEMA: Expectation = { expected: "a schema of a library with Standard Schema", allows: isSchema };

const REQUEST_SCHEMAS: Expectation = {
  expected: "an object with the schemas `data` and `reply`",
  allows: (value) =>
    OBJECT.allows(value) &&
    !isSchema(value) &&
    Object.entries(value as object).every(([name, schema]) => /^(data|reply)$/.test(name) && (schema === undefined || isSchema(schema))),
};

/** Throws `BadOptionError` for a schema in a place where it would never be used. */
export function checkSchemas(schemas: Schemas | undefined): void {
  checkOptions<Schemas>(schemas, PARTS);
  for (const [part, events] of Object.entries(schemas ?? {})) {
    const expectation = /requests$/i.test(part) ? REQUEST_SCHEMAS : SCHEMA;
    for (const [event, schema] of Object.entries(events ?? {})) check(`schemas.${part}["${event}"]`, schema, expectation);
  }
}

/** Returns the schema of an event, which may have any name, such as `constructor`. */
export function schemaOf<S>(schemas: { readonly [event: string]: S } | undefined, event: string): S | undefined {
  return schemas && Object.hasOwn(schemas, event) ? schemas[event] : undefined;
}

/** Returns the output of the schema, or the data unchanged if there is none. Throws `InvalidDataError`. */
export function validated(event: string, data: unknown, schema: StandardSchemaV1 | undefined): unknown {
  if (!schema) return data;
  const result = schema["~standard"].validate(data);
  // Awaiting a promise would let later events overtake this one.
  const { issues = [{ message: "the schema is asynchronous" }] } = result instanceof Promise ? {} : result;
  if ("value" in result) return result.value;
  throw new InvalidDataError(event, issues);
}
