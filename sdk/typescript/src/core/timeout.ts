/**
 * Promises that end: by their signal, by their time, or by what they wait for.
 */

import { AbortedError, TimeoutError, type SwitchboardError } from "./errors.js";

/** How long a caller is willing to wait. */
export interface CallOptions {
  /** Ends the wait; the promise rejects with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; 0 is no limit. */
  readonly timeout?: number | undefined;
}

/** A timer of JavaScript holds no such wait, nor a longer one: it would fire at once. */
const TIMER_MAX = 2 ** 31;

/** What is said when `what` did not come in time. */
export function timeoutError(what: string, timeout: number): SwitchboardError {
  return new TimeoutError(`no ${what} within ${timeout} ms`);
}

/** A timer that 0, and what no timer can hold, never start. */
export function after(ms: number, then: () => void): ReturnType<typeof setTimeout> | undefined {
  if (ms > 0 && ms < TIMER_MAX) return setTimeout(then, ms);
}

/**
 * Waits for what `start` begins, no longer than `wait` says, or by default `ms`; `what` names it if it
 * is late. What `start` returns is called when the wait is over, however it ended.
 */
export function within<T>(
  ms: number,
  { signal, timeout = ms }: CallOptions = {},
  what: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => (() => void) | void,
): Promise<T> {
  let end = () => {};
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(new AbortedError("aborted", { cause: signal?.reason }));
    if (signal?.aborted) return abort();
    const timer = after(timeout, () => reject(timeoutError(what, timeout)));
    signal?.addEventListener("abort", abort);
    end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      undo?.();
    };
    let undo: (() => void) | void;
    undo = start(resolve, reject);
  }).finally(() => end());
}
