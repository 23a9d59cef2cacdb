/**
 * Recognizes a server of another protocol behind an address, by its first message.
 */

import type { JsonObject } from "./json.js";

/** The id of a request that every server of the emit protocol answers, because no application can handle its name. */
const ALIVE = "@alive";

/** The members of that request. A message of another protocol may contain them, so that servers of both answer it. */
export const EMIT_PROBE = `"event":"${ALIVE}","ackId":"${ALIVE}"`;

/** Returns the protocol of a message that the client's own protocol does not allow; undefined if it is of none. */
export function protocolOf({ type, ackId, eventName, op }: JsonObject): string | undefined {
  if (typeof eventName === "string" && eventName.startsWith("@@KOJI_DISPATCH/")) return "Koji";
  if (op === 10) return "Mesa";
  if (type === "ack" && ackId === ALIVE) return "emit";
  return undefined;
}
