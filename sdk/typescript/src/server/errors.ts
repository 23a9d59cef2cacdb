/**
 * What goes wrong with a backend's messages, besides what goes wrong anywhere.
 */

import { errorClass, SwitchboardError } from "../core/errors.js";

/** A package that this way of sending needs is not installed. Code `missing_dependency`. */
export const MissingDependencyError = /* @__PURE__ */ errorClass("missing_dependency");
export type MissingDependencyError = InstanceType<typeof MissingDependencyError>;

/** This way of sending cannot say it; nothing was sent. Code `unsupported`. */
export const UnsupportedError = /* @__PURE__ */ errorClass("unsupported");
export type UnsupportedError = InstanceType<typeof UnsupportedError>;

/** Redis refused, or went away before it answered: then it may have been sent. Code `redis_failed`. */
export const RedisError = /* @__PURE__ */ errorClass("redis_failed");
export type RedisError = InstanceType<typeof RedisError>;

/**
 * The HTTP API did not do it. The code is the API's own word: `invalid`, `unauthorized`, `under_way`,
 * `too_large`, `another_body`, `too_many`, `not_kept`, `unknown`; `unexpected` if it said none.
 */
export class ApiError extends SwitchboardError {
  /** The status of the answer. */
  readonly status: number;
  /** How long the server wants to be left alone, in milliseconds. */
  readonly retryAfterMs: number;

  /** By the answer's code, what it said, its status, and how long to wait. */
  constructor(code: string, message: string, status: number, retryAfterMs: number) {
    super(code, message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}
