/**
 * Validation of data by any library that implements Standard Schema (https://standardschema.dev).
 */

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
