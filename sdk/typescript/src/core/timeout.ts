/**
 * Promises with a deadline: they end by their result, an abort signal or a timeout.
 */

import { AbortedError, TimeoutError, type SwitchboardError } from "./errors.js";

/** Limits of one call. */
export interface CallOptions {
  /** Aborts the call; its promise rejects with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the promise rejects with `TimeoutError`; 0 is no limit. */
  readonly timeout?: number | undefined;
}

/** `setTimeout` fires at once for delays from here on. */
const TIMER_MAX = 2 ** 31;

/** The error for a `subject` that did not arrive within `timeout` milliseconds. */
export function timeoutError(subject: string, timeout: number): SwitchboardError {
  return new TimeoutError(`no ${subject} within ${timeout} ms`);
}

/** Starts a timer; starts none for 0, NaN and delays that `setTimeout` cannot hold. */
export function startTimer(ms: number, callback: () => void): ReturnType<typeof setTimeout> | undefined {
  if (ms > 0 && ms < TIMER_MAX) return setTimeout(callback, ms);
}

/**
 * Runs `start` and waits for its result, at most `timeout` milliseconds, by default `ms`. `subject` names
 * the result in the `TimeoutError`. The function that `start` returns cleans up once the promise settles.
 */
export function withTimeout<T>(
  ms: number,
  { signal, timeout = ms }: CallOptions = {},
  subject: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => (() => void) | void,
): Promise<T> {
  const settled = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let cleanUp: (() => void) | void;
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(new AbortedError("aborted", { cause: signal!.reason }));
    if (signal?.aborted) return abort();
    timer = startTimer(timeout, () => reject(timeoutError(subject, timeout)));
    signal?.addEventListener("abort", abort, settled);
    cleanUp = start(resolve, reject);
  }).finally(() => {
    clearTimeout(timer);
    settled.abort();
    cleanUp?.();
  });
}
