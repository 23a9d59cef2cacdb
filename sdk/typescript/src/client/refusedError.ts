/**
 * Error replies of the server.
 */

import { SwitchboardError } from "../core/errors.js";
import { isObject } from "../core/json.js";

const NO_HANDLER = "no_handler";

/**
 * The server refused a request; the message is the server's. Code `refused`, or `no_handler` if the server has
 * no handler for the event: check its name.
 */
export class RefusedError extends SwitchboardError {
  readonly code: "refused" | "no_handler";
  /** The code in the server's reply, such as `bad_data`; `no_handler` if it has no handler for the event. */
  readonly serverCode: string;
  override get name(): string {
    return "RefusedError";
  }

  /** Takes the message and the code of the reply. */
  constructor(message: string, serverCode: string) {
    super(message);
    this.code = serverCode === NO_HANDLER ? NO_HANDLER : "refused";
    this.serverCode = serverCode;
  }
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
  if (typeof code === "string") return new RefusedError(error, code);
  const isUnhandled = error.startsWith(NO_HANDLER_TEXT) && code === undefined && !Object.keys(others).length;
  return isUnhandled ? new RefusedError(error, NO_HANDLER) : undefined;
}
