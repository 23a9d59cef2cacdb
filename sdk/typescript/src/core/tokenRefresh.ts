/**
 * Tokens that end while their connection lives: the next one is asked for before.
 */

import type { Connection } from "./connection.js";
import { after } from "./timeout.js";
import type { SwitchboardError } from "./errors.js";

/** How long to wait where the token's own end is no help: it is over, by this clock. */
const AGAIN_MS = 30_000;

/** Who the program is, for protocols that say so in a message. */
export interface AuthorizationOptions {
  /** A token that says who we are. */
  readonly authorization?: string | undefined;
}

/**
 * Asks for the next token before the present one ends, until its connection has ended, and has it
 * used. Does nothing for tokens that do not say when they end.
 */
export function scheduleTokenRefresh(connection: Connection<AuthorizationOptions>, use: (token: string) => void): void {
  const signal = connection.signal as AbortSignal;
  const timer = after(refreshIn(connection.options.authorization), async () => {
    try {
      use((await connection.token("expiring", signal)) as string);
    } catch (error) {
      connection.listeners.report(error as SwitchboardError);
    }
    if (!signal.aborted) scheduleTokenRefresh(connection, use);
  });
  signal.addEventListener("abort", () => clearTimeout(timer));
}

/**
 * Milliseconds until a JSON Web Token should be replaced: four fifths of what it still has, so that
 * the next one is there in time. No number if it does not end, or is no such token.
 */
function refreshIn(token: string | undefined): number {
  try {
    const claims = (token as string).split(".")[1] as string;
    const { exp } = JSON.parse(atob(claims.replace(/-/g, "+").replace(/_/g, "/"))) as { exp: number };
    const left = exp * 1000 - Date.now();
    return Math.max(left * 0.8, left > 0 ? 1000 : AGAIN_MS);
  } catch {
    return NaN;
  }
}
