/**
 * How long to wait before connecting again.
 */

/**
 * The wait in milliseconds before try `attempt`, counted from 0: evenly spread between nothing and
 * the doubled delay (full jitter), so that the clients of a server that restarts do not return in
 * step. `random` is between 0 and 1.
 */
export function backoff(attempt: number, delay: number, max: number, random: number): number {
  return Math.min(max, delay * 2 ** attempt) * random;
}
