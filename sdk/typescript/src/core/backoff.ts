/**
 * Reconnect delays: exponential back-off with full jitter.
 */

/**
 * Returns the delay in milliseconds before attempt `attempt`, counted from 0. The ceiling doubles from
 * `delay` up to `max`; `random`, between 0 and 1, picks a point below it, so that the clients of a
 * restarted server do not reconnect in step.
 */
export function backoff(attempt: number, delay: number, max: number, random: number): number {
  return Math.min(max, delay * 2 ** attempt) * random;
}
