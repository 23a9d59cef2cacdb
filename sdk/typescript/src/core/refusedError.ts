/**
 * Error replies of the server.
 */

import { SwitchboardError } from "./errors.js";
import { isObject } from "./json.js";

const NO_HANDLER = "no_handler";
const RATE_LIMITED = "rate_limited";

/**
 * The server refused a request; the message is the server's. Code `refused`, or `no_handler` if the server has
 * no handler for the event: check its name. Code `rate_limited` for a {@link RateLimitedError}.
 */
export class RefusedError extends SwitchboardError {
  readonly code: "refused" | "no_handler" | "rate_limited";
  /** The code in the server's reply, such as `bad_data`; `no_handler` if it has no handler for the event. */
  readonly serverCode: string;
  override get name(): string {
    return "RefusedError";
  }

  /** Takes the message and the code of the reply. */
  constructor(message: string, serverCode: string) {
    super(message);
    this.code = serverCode === NO_HANDLER || serverCode === RATE_LIMITED ? serverCode : "refused";
    this.serverCode = serverCode;
  }
}

/** The client sends such requests too often. Code `rate_limited`; repeat the request after `retryAfterMs`. */
export class RateLimitedError extends RefusedError {
  /** Milliseconds until the server accepts one more. */
  readonly retryAfterMs: number;
  override get name(): string {
    return "RateLimitedError";
  }

  /** Takes the message and the time of the reply. */
  constructor(message: string, retryAfterMs: number) {
    super(message, RATE_LIMITED);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Why a server has not done what an event without a reply asks for. Original servers do not tell. */
export interface RefusedEvent {
  /** The name of the event; undefined if the server could not decode the frame. Koji names it `eventName`. */
  readonly event?: string;
  /** The same, of a `Dispatch`. */
  readonly eventName?: string;
  /** A stable identifier, such as `bad_data`, or `no_handler`: check the name of the event. */
  readonly code: string;
  /** The explanation for people. */
  readonly error: string;
  /** With the code `rate_limited`: milliseconds until the server accepts one more. */
  readonly retry_after_ms?: number;
}

/** Shows a refusal that no listener receives: otherwise a mistyped event vanishes silently. */
export function warnRefused(data: unknown): void {
  const { event, eventName, error } = Object(data) as RefusedEvent;
  console.warn(`the server refused ${event ?? eventName ?? "a message"}: ${error}`);
}

/** How servers, the original's too, begin their reply to an event without a handler. It has no code. */
const NO_HANDLER_TEXT = "No handler for: ";

/**
 * Returns the error if the reply has both `error` and `code` as strings, or is the one to an event without a
 * handler. Any other reply is a result.
 */
export function refusedErrorFrom(reply: unknown): RefusedError | undefined {
  const { error, code, ...others } = isObject(reply) ? reply : {};
  if (typeof error !== "string") return undefined;
  if (code === RATE_LIMITED) return new RateLimitedError(error, Number(others["retry_after_ms"] ?? 0));
  if (typeof code === "string") return new RefusedError(error, code);
  const isUnhandled = error.startsWith(NO_HANDLER_TEXT) && code === undefined && !Object.keys(others).length;
  return isUnhandled ? new RefusedError(error, NO_HANDLER) : undefined;
}
