/**
 * Promises with a deadline: they end by their result, an abort signal or a timeout.
 */

import { after } from "./after.js";
import { checkOptions } from "./check.js";
import { AbortedError, TimeoutError, type SwitchboardError } from "./errors.js";

/** Limits of one call. */
export interface CallOptions {
  /** Aborts the call; its promise rejects with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the promise rejects with `TimeoutError`; 0 and Infinity are no limit. */
  readonly timeout?: number | undefined;
}

/** Examples of the options of all calls. */
export const CALL_OPTIONS = { signal: {}, timeout: 0, retry: true, shouldSync: true, volatile: true };

/** The error for a `subject` that did not arrive within `timeout` milliseconds. */
export function timeoutError(subject: string, timeout: number): SwitchboardError {
  return new TimeoutError(`no ${subject} within ${timeout} ms`);
}

/**
 * Runs `start` and waits for its result, at most `timeout` milliseconds, by default `ms`. `subject` names
 * the result in the `TimeoutError`. Once the promise settles, the signal that `start` receives aborts, and
 * the function that it returns is called.
 */
export function withTimeout<T>(
  ms: number,
  options: CallOptions | undefined,
  subject: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void, settled: AbortSignal) => (() => void) | void,
): Promise<T> {
  const settled = new AbortController();
  let stopTimer: (() => void) | undefined;
  let cleanUp: (() => void) | void;
  return new Promise<T>((resolve, reject) => {
    checkOptions(options, CALL_OPTIONS);
    const { signal, timeout = ms } = options ?? {};
    const abort = () => reject(new AbortedError("aborted", { cause: signal!.reason }));
    if (signal?.aborted) return abort();
    stopTimer = after(timeout || Infinity, () => reject(timeoutError(subject, timeout)));
    signal?.addEventListener("abort", abort, settled);
    cleanUp = start(resolve, reject, settled.signal);
  }).finally(() => {
    stopTimer?.();
    settled.abort();
    cleanUp?.();
  });
}
