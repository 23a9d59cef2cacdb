/**
 * When to ask for the next token.
 */

/** How long to wait where the token's own end is no help: it is over, by this clock. */
const AGAIN_MS = 30_000;

/**
 * Milliseconds until a JSON Web Token should be replaced: four fifths of what it still has, so that
 * the next one is there in time. 0 if it does not end, or is no such token.
 */
export function refreshIn(token: string, now: number): number {
  try {
    const claims = token.split(".")[1] ?? "";
    const { exp } = JSON.parse(atob(claims.replace(/-/g, "+").replace(/_/g, "/"))) as { exp: unknown };
    if (typeof exp !== "number") return 0;
    const left = exp * 1000 - now;
    return left > 0 ? Math.max(1000, left * 0.8) : AGAIN_MS;
  } catch {
    return 0;
  }
}
