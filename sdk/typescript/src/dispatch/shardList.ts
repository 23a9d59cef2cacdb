/**
 * The list of a project's shards, over HTTP.
 */

import { encodeName, urlBelow } from "../core/address.js";
import { ConnectFailedError, messageOf } from "../core/errors.js";
import type { ShardInfo } from "./events.js";

/** Requests the shards of a project. Rejects with `ConnectFailedError` if the server does not answer with a list. */
export async function listShards(
  host: string | undefined,
  projectId: string | undefined,
  signal: AbortSignal,
): Promise<ShardInfo[]> {
  // Clients without a project id share the project named `undefined`. Address parsers take `.` and `..` for steps between
  // folders, also if they are encoded.
  const url = urlBelow(host, `info/${encodeName(`${projectId}`, /^\.\.?$/)}`);
  url.protocol = url.protocol.replace("ws", "http");
  url.search = "";
  try {
    const response = await fetch(url, { signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return (await response.json()) as ShardInfo[];
  } catch (cause) {
    throw new ConnectFailedError(`no list of shards from ${url}: ${messageOf(cause)}`, undefined, cause);
  }
}
