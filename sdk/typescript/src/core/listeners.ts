/**
 * Who wants to know of which event, errors among them.
 *
 * Listeners are called in the order they were added. One that throws, or whose promise rejects, is
 * reported, and the others are called all the same.
 */

import { ListenerError, type SwitchboardError } from "./errors.js";

/** A function of the program; what it takes is for the typed faces of this package to say. */
export type Listener = (...values: never[]) => unknown;

/** What it is reported as when a function of the program fails. */
export function listenerError(event: string, cause: unknown): SwitchboardError {
  return new ListenerError(`listener of ${event} failed`, { event, cause });
}

interface Entry {
  readonly listener: Listener;
}

export interface Listeners {
  /** Adds a listener; what it returns takes away this one, and can be called again. */
  add(event: string, listener: Listener): () => void;
  /** Takes away those listeners of an event that are not wanted. */
  keep(event: string, wanted: (entry: Entry) => boolean): void;
  /** Calls the listeners of an event. */
  call(event: string, ...values: unknown[]): void;
  /** What a function of the program returns; undefined, and reported, if it throws. */
  run(event: string, listener: Listener, values: readonly unknown[]): unknown;
  /** Tells of what went wrong that nobody waits for. */
  report(error: SwitchboardError): void;
}

export function createListeners(errorEvent: string): Listeners {
  // Each list is replaced and never changed, so one that is being called stays as it was.
  const table = new Map<string, readonly Entry[]>();
  const of = (event: string) => table.get(event) ?? [];

  function add(event: string, listener: Listener): () => void {
    const entry = { listener };
    table.set(event, [...of(event), entry]);
    return () => keep(event, (other) => other !== entry);
  }

  function keep(event: string, wanted: (entry: Entry) => boolean): void {
    const left = of(event).filter(wanted);
    if (left.length) table.set(event, left);
    else table.delete(event);
  }

  function call(event: string, ...values: unknown[]): void {
    for (const { listener } of of(event)) run(event, listener, values);
  }

  function run(event: string, listener: Listener, values: readonly unknown[]): unknown {
    // A fault of the program shows even where nobody listens for errors, or that listener has it.
    const failed = (cause: unknown) => {
      const error = listenerError(event, cause);
      if (event !== errorEvent && table.has(errorEvent)) report(error);
      else console.error(error);
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

  return { add, keep, call, run, report };
}
