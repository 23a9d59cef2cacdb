/**
 * The event listeners of one client.
 *
 * Listeners are called in the order in which they were added. A listener that throws, or whose promise
 * rejects, is reported as an error; the others are still called.
 */

import { check, FUNCTION, STRING } from "./check.js";
import { ListenerFailedError, messageOf, type SwitchboardError } from "./errors.js";

/** A function of the application. The public methods of each client give it precise parameters. */
export type Listener = (...values: never[]) => unknown;

/** The error for a listener or handler that failed. */
export function listenerError(event: string, cause: unknown): SwitchboardError {
  return new ListenerFailedError(`the listener of ${event} failed: ${messageOf(cause)}`, event, cause);
}

/** An array, so that adding one function twice makes two entries. */
type Entry = readonly [Listener];

export interface Listeners {
  /**
   * Adds a listener; returns a function that removes it. If the event describes a state, and it has one, the
   * listener is also called with the latest, after the caller's code.
   */
  add(event: string, listener: Listener): () => void;
  /** Removes a listener, or all listeners of an event. */
  remove(event: string, listener?: Listener): void;
  /** Returns true if the event has a listener. */
  has(event: string): boolean;
  /** Calls the listeners of an event; returns their number. */
  call(event: string, ...values: unknown[]): number;
  /** Calls one function of the application. Returns undefined, and reports the error, if it throws. */
  run(event: string, listener: Listener, values: readonly unknown[]): unknown;
  /** Sends an error that no promise carries to the listeners of the error event; returns their number. */
  report(error: SwitchboardError): number;
}

/** `latest` returns the latest value of an event that describes a state; undefined for any other event. */
export function createListeners(errorEvent: string, latest: (event: string) => unknown = () => undefined): Listeners {
  // A list is replaced and never changed, so adding or removing does not affect a call under way.
  const table = new Map<string, readonly Entry[]>();
  const of = (event: string) => table.get(event) ?? [];

  function add(event: string, listener: Listener): () => void {
    check("the event name", event, STRING);
    check(`the listener of ${event}`, listener, FUNCTION);
    const entry: Entry = [listener];
    table.set(event, [...of(event), entry]);
    const value = latest(event);
    if (value !== undefined) {
      // Not if the listener was removed in the meantime, or called with a newer value.
      queueMicrotask(() => of(event).includes(entry) && latest(event) === value && run(event, listener, [value]));
    }
    return () => retain(event, (other) => other !== entry);
  }

  function remove(event: string, listener?: Listener): void {
    if (listener !== undefined) check(`the listener of ${event}`, listener, FUNCTION);
    retain(event, ([added]) => listener !== undefined && added !== listener);
  }

  function retain(event: string, matches: (entry: Entry) => boolean): void {
    const remaining = of(event).filter(matches);
    if (remaining.length) table.set(event, remaining);
    else table.delete(event);
  }

  function call(event: string, ...values: unknown[]): number {
    const entries = of(event);
    for (const [listener] of entries) run(event, listener, values);
    return entries.length;
  }

  function run(event: string, listener: Listener, values: readonly unknown[]): unknown {
    // Without an error listener, or if that listener fails, the console shows the bug.
    const failed = (cause: unknown) => {
      const error = listenerError(event, cause);
      if (event === errorEvent || !report(error)) console.error(error);
    };
    try {
      const result = listener(...(values as never[]));
      if (result instanceof Promise) result.catch(failed);
      return result;
    } catch (error) {
      failed(error);
      return undefined;
    }
  }

  const report = (error: SwitchboardError) => call(errorEvent, error);

  const has = (event: string) => table.has(event);

  return { add, remove, has, call, run, report };
}
