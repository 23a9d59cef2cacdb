/**
 * The timer of this package: the only place that calls `setTimeout`.
 */

/** The longest delay that `setTimeout` can hold; it fires at once for longer ones. */
const DELAY_MAX = 2 ** 31 - 1;

/**
 * Calls `callback` after `ms` milliseconds, also if that is more than `setTimeout` can hold; never for
 * Infinity and NaN. Returns a function that cancels it.
 */
export function after(ms: number, callback: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (left: number): void => {
    timer = left > DELAY_MAX ? setTimeout(wait, DELAY_MAX, left - DELAY_MAX) : setTimeout(callback, left);
  };
  if (ms < Infinity) wait(ms);
  return () => clearTimeout(timer);
}
