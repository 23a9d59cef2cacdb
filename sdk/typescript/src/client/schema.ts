/**
 * Checking data by a schema of any library that speaks Standard Schema (https://standardschema.dev).
 */

import { errorClass } from "../core/errors.js";

/** The part of Standard Schema, version 1, that is used here. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** All that the standard defines. */
  readonly "~standard": {
    /** Of the standard. */
    readonly version: 1;
    /** The library. */
    readonly vendor: string;
    /** What the value is, or what is wrong with it; a promise counts as wrong. */
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    /** Not there while the program runs. */
    readonly types?:
      | {
          /** What may be given. */
          readonly input: Input;
          /** What comes of it. */
          readonly output: Output;
        }
      | undefined;
  };
}

type Result<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

/** What is wrong, and where. */
export interface Issue {
  /** For people. */
  readonly message: string;
  /** Where in the data: names from the outside in. */
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

/** Data that its schema does not allow; it was not sent, or not handed on. Code `invalid_data`. */
export const ValidationError = /* @__PURE__ */ errorClass<{
  /** Whose data it is. */
  event: string;
  /** What is wrong; at least one. */
  issues: readonly Issue[];
}>(
  "invalid_data",
);

/** The data as the schema makes it; unchanged without one. Throws `ValidationError`. */
export function validated(event: string, data: unknown, schema: StandardSchemaV1 | undefined): unknown {
  if (!schema) return data;
  const result = schema["~standard"].validate(data);
  // Waiting would let later events overtake this one.
  const { issues = [{ message: "asynchronous" }] } = result instanceof Promise ? {} : result;
  if ("value" in result) return result.value;
  throw new ValidationError(`the data of ${event} is not valid: ${issues[0]?.message}`, { event, issues });
}
