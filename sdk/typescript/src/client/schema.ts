/**
 * Checking data by a schema of any library that speaks Standard Schema (https://standardschema.dev).
 */

import { errorClass } from "../core/errors.js";

/** The part of Standard Schema, version 1, that is used here. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type Result<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

/** What is wrong, and where. */
export interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Data that its schema does not allow; it was not sent, or not handed on. Code `invalid_data`. */
export const ValidationError = /* @__PURE__ */ errorClass<{ event: string; issues: readonly Issue[] }>(
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
