/**
 * What a server answers that does not want to.
 */

import { errorClass } from "../core/errors.js";
import { isObject } from "../core/json.js";

/** The server refused a request; the message is its own, and so is `serverCode`. Code `refused`. */
export const RefusedError = /* @__PURE__ */ errorClass<{
  /** The server's own word. */
  serverCode: string;
}>("refused");
export type RefusedError = InstanceType<typeof RefusedError>;

/** A refusal has texts as `error` and `code`; everything else is a reply, also with one of them. */
export function refusedErrorFrom(reply: unknown): Error | undefined {
  const { error, code } = isObject(reply) ? reply : {};
  if (typeof error === "string" && typeof code === "string") {
    return new RefusedError(error, { serverCode: code });
  }
}
