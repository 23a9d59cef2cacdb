/**
 * The event listeners of one client.
 *
 * Listeners are called in the order in which they were added. A listener that throws, or whose promise
 * rejects, is reported as an error; the others are still called.
 */

import { check } from "./check.js";
import { ListenerFailedError, type SwitchboardError } from "./errors.js";

/** A function of the application. The public methods of each client give it precise parameters. */
export type Listener = (...values: never[]) => unknown;

/** The error for a listener or handler that failed. */
export function listenerError(event: string, cause: unknown): SwitchboardError {
  return new ListenerFailedError(`listener of ${event} failed`, { event, cause });
}

/** An array, so that adding one function twice makes two entries. */
type Entry = readonly [Listener];

export interface Listeners {
  /** Adds a listener; returns a function that removes it. */
  add(event: string, listener: Listener): () => void;
  /** Removes the listeners of an event that do not match. */
  retain(event: string, matches: (entry: Entry) => boolean): void;
  /** Calls the listeners of an event; returns their number. */
  call(event: string, ...values: unknown[]): number;
  /** Calls one function of the application. Returns undefined, and reports the error, if it throws. */
  run(event: string, listener: Listener, values: readonly unknown[]): unknown;
  /** Sends an error that no promise carries to the listeners of the error event; returns their number. */
  report(error: SwitchboardError): number;
}

export function createListeners(errorEvent: string): Listeners {
  // A list is replaced and never changed, so adding or removing does not affect a call under way.
  const table = new Map<string, readonly Entry[]>();
  const of = (event: string) => table.get(event) ?? [];

  function add(event: string, listener: Listener): () => void {
    check("event name", event, "");
    check(`listener of ${event}`, listener, check);
    const entry: Entry = [listener];
    table.set(event, [...of(event), entry]);
    return () => retain(event, (other) => other !== entry);
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
    }
  }

  const report = (error: SwitchboardError) => call(errorEvent, error);

  return { add, retain, call, run, report };
}
