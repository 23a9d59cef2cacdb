/**
 * The errors of `/server`, in addition to those of the core.
 */

import { SwitchboardError } from "../core/errors.js";

/** An optional package is not installed; the message names it. */
export class MissingDependencyError extends SwitchboardError {
  readonly code = "missing_dependency";
  override get name(): string {
    return "MissingDependencyError";
  }
}

/** The transport cannot express the call; nothing was sent. Use the HTTP API. */
export class UnsupportedError extends SwitchboardError {
  readonly code = "unsupported";
  override get name(): string {
    return "UnsupportedError";
  }
}

/** Redis returned an error, or the connection closed before its reply; the message may have been sent. */
export class RedisFailedError extends SwitchboardError {
  readonly code = "redis_failed";
  override get name(): string {
    return "RedisFailedError";
  }
}

/**
 * The HTTP API refused the request. The code is the API's: `invalid`, `unauthorized`, `in_progress`, `too_large`,
 * `body_mismatch`, `too_many`, `not_stored`, `unknown`; `unexpected` if the response has none.
 */
export class ApiError extends SwitchboardError {
  readonly code: string;
  /** The HTTP status of the response. */
  readonly status: number;
  /** Milliseconds to wait before a retry, as the server requests. */
  readonly retryAfterMs: number;

  override get name(): string {
    return "ApiError";
  }

  /** Takes the code, message, status and delay of the response. */
  constructor(code: string, message: string, status: number, retryAfterMs: number) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}
