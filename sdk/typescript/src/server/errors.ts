/**
 * The errors of `/server`, in addition to those of the core.
 */

import { errorClass, SwitchboardError } from "../core/errors.js";

/** An optional package is not installed; the message names it. Code `missing_dependency`. */
export const MissingDependencyError = /* @__PURE__ */ errorClass("missing_dependency");
export type MissingDependencyError = InstanceType<typeof MissingDependencyError>;

/** The transport cannot express the call; nothing was sent. Use the HTTP API. Code `unsupported`. */
export const UnsupportedError = /* @__PURE__ */ errorClass("unsupported");
export type UnsupportedError = InstanceType<typeof UnsupportedError>;

/** Redis returned an error, or the connection closed before its reply; the message may have been sent. Code `redis_failed`. */
export const RedisFailedError = /* @__PURE__ */ errorClass("redis_failed");
export type RedisFailedError = InstanceType<typeof RedisFailedError>;

/**
 * The HTTP API refused the request. The code is the API's: `invalid`, `unauthorized`, `in_progress`, `too_large`,
 * `body_mismatch`, `too_many`, `not_stored`, `unknown`; `unexpected` if the response has none.
 */
export class ApiError extends SwitchboardError {
  /** The HTTP status of the response. */
  readonly status: number;
  /** Milliseconds to wait before a retry, as the server requests. */
  readonly retryAfterMs: number;

  /** Takes the code, message, status and delay of the response. */
  constructor(code: string, message: string, status: number, retryAfterMs: number) {
    super(message, { name: "ApiError", code });
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}
