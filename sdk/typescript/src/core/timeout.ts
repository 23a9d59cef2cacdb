/**
 * Promises with a deadline: they end by their result, an abort signal or a timeout.
 */

import { after } from "./after.js";
import { checkOptions, MILLISECONDS, SIGNAL, type Expectations } from "./check.js";
import { AbortedError, TimeoutError } from "./errors.js";

/** Limits of one call. */
export interface CallOptions {
  /** Aborts the call; its promise rejects with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the promise rejects with `TimeoutError`; 0 and Infinity are no limit. */
  readonly timeout?: number | undefined;
}

/** The expectations for the options of a call that has no others. */
export const CALL_OPTIONS: Expectations<CallOptions> = { signal: SIGNAL, timeout: MILLISECONDS };

/** What a call waits for. */
export interface Wait<Options extends CallOptions> {
  /** Names the result in errors, such as `reply to /join`. */
  readonly subject: string;
  /** The time limit if the options have none, in milliseconds. */
  readonly timeout: number;
  /** The options that the caller passed, unchecked. */
  readonly options: Options | undefined;
  /** The options that the call has. */
  readonly known: Expectations<Options>;
}

/** The error for a `subject` that did not arrive within `timeout` milliseconds. */
export function timeoutError(subject: string, timeout: number): TimeoutError {
  return new TimeoutError(`no ${subject} within ${timeout} ms`);
}

/**
 * Runs `start` and waits for its result. Once the promise settles, the signal that `start` receives aborts, and
 * the function that it returns is called.
 */
export function withTimeout<T, Options extends CallOptions = CallOptions>(
  { subject, timeout: usual, options, known }: Wait<Options>,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void, settled: AbortSignal) => (() => void) | void,
): Promise<T> {
  const settled = new AbortController();
  let stopTimer: (() => void) | undefined;
  let cleanUp: (() => void) | void;
  return new Promise<T>((resolve, reject) => {
    checkOptions(options, known);
    const timeout = options?.timeout ?? usual;
    const signal = options?.signal;
    const abort = () => reject(new AbortedError(`aborted while waiting for the ${subject}`, signal?.reason));
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
