/**
 * Reconnect delays: exponential back-off with full jitter.
 */

/** The maximum after a policy violation if the options have none, in milliseconds. */
const MAX_MS = 20_000;

/**
 * Returns the delay in milliseconds before attempt `attempt`, counted from 0. The ceiling doubles from
 * `delay` up to `max`; `random`, between 0 and 1, picks a point below it, so that the clients of a
 * restarted server do not reconnect in step.
 */
export function backoff(attempt: number, delay: number, max: number, random: number): number {
  // 0 * Infinity is NaN.
  return Math.min(max, delay * 2 ** attempt) * random || 0;
}

/** Returns a delay between half of `max` and `max`, for a client that sent too much. */
export function throttledDelay(max: number, random: number): number {
  return (max < Infinity ? max : MAX_MS) * (0.5 + random / 2);
}
