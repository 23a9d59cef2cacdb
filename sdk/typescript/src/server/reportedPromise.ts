/**
 * Promises that may be ignored: a rejection that nothing handles is reported instead of ending the process.
 */

import { after } from "../core/after.js";
import type { SwitchboardError } from "../core/errors.js";
import type { Listeners } from "../core/listeners.js";

/** Tracks whether something handles its result; `await`, `then`, `catch` and `Promise.all` do. */
class TrackedPromise<T> extends Promise<T> {
  /** The promises that `then` returns are ordinary ones. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  isHandled = false;

  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isHandled = true;
    return super.then(onFulfilled, onRejected);
  }
}

/**
 * Returns a promise with the same result. If it rejects, and the code that runs next has not attached a handler, the error goes
 * to the listeners of the error event, or to the console if there are none.
 */
export function reported<T>(promise: Promise<T>, listeners: Listeners): Promise<T> {
  const tracked = new TrackedPromise<T>((resolve, reject) => promise.then(resolve, reject));
  const report = (error: SwitchboardError) => {
    if (!tracked.isHandled && !listeners.report(error)) console.error(error);
  };
  // Checked after the code that may handle the rejection, as Node does.
  Promise.prototype.then.call(tracked, undefined, (error: SwitchboardError) => void after(0, () => report(error)));
  return tracked;
}
