/**
 * Error replies of the server.
 */

import { errorClass } from "../core/errors.js";
import { isObject } from "../core/json.js";

/** The server refused a request. The message is the server's, and so is `serverCode`. Code `refused`. */
export const RefusedError = /* @__PURE__ */ errorClass<{
  /** The code in the server's reply. */
  serverCode: string;
}>("refused");
export type RefusedError = InstanceType<typeof RefusedError>;

/** Returns the error if the reply has both `error` and `code` as strings; any other reply is a result. */
export function refusedErrorFrom(reply: unknown): Error | undefined {
  const { error, code } = isObject(reply) ? reply : {};
  if (typeof error === "string" && typeof code === "string") {
    return new RefusedError(error, { serverCode: code });
  }
}
