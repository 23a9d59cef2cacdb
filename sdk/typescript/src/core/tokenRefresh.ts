/**
 * Token refresh: a token that expires while its connection is open is replaced in time.
 */

import { after } from "./after.js";
import type { Connection } from "./connection.js";
import type { SwitchboardError } from "./errors.js";

/** The delay before the next refresh if the token, by this machine's clock, has already expired. */
const EXPIRED_RETRY_MS = 30_000;

/** How a client authenticates on protocols that carry the token in a message. */
export interface AuthorizationOptions {
  /** The token. */
  readonly authorization?: string | undefined;
}

/**
 * Calls `getToken` before the token expires, and passes the next token to `use`. Repeats until the connection closes.
 * Does nothing if the token has no expiry.
 */
export function scheduleTokenRefresh(
  connection: Connection<object>,
  token: string | undefined,
  use: (token: string) => void,
): void {
  const signal = connection.signal as AbortSignal;
  const stop = after(refreshDelay(token), async () => {
    signal.removeEventListener("abort", stop);
    let next = token;
    try {
      next = (await connection.token("expiring")) as string;
      use(next);
    } catch (error) {
      connection.listeners.report(error as SwitchboardError);
    }
    if (!signal.aborted) scheduleTokenRefresh(connection, next, use);
  });
  signal.addEventListener("abort", stop);
}

/**
 * Milliseconds until a JSON Web Token should be replaced: four fifths of its remaining lifetime. NaN if
 * the token does not expire or is not a JSON Web Token.
 */
function refreshDelay(token: string | undefined): number {
  try {
    const claims = (token as string).split(".")[1] as string;
    const { exp } = JSON.parse(atob(claims.replace(/-/g, "+").replace(/_/g, "/"))) as { exp: number };
    const remaining = exp * 1000 - Date.now();
    return Math.max(remaining * 0.8, remaining > 0 ? 1000 : EXPIRED_RETRY_MS);
  } catch {
    return NaN;
  }
}
