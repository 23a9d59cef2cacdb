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
  return new ListenerError(`a listener of ${event} failed`, { event, cause });
}

interface Entry {
  readonly listener: Listener;
}

export class Listeners {
  // Each list is replaced and never changed, so one that is being called stays as it was.
  readonly #table = new Map<string, readonly Entry[]>();
  readonly #errorEvent: string;

  constructor(errorEvent: string) {
    this.#errorEvent = errorEvent;
  }

  /** Adds a listener; what it returns takes away this one, and can be called again. */
  add(event: string, listener: Listener): () => void {
    const entry = { listener };
    this.#table.set(event, [...this.#of(event), entry]);
    return () => this.#keep(event, (other) => other !== entry);
  }

  /** Takes away one listener of an event, or all. */
  remove(event: string, listener?: Listener): void {
    this.#keep(event, (entry) => !!listener && entry.listener !== listener);
  }

  /** Calls the listeners of an event, if it has a name. */
  call(event: string, ...values: unknown[]): void {
    for (const { listener } of this.#of(event)) {
      try {
        const result = listener(...(values as never[]));
        if (result instanceof Promise) result.catch((error: unknown) => this.#failed(event, error));
      } catch (error) {
        this.#failed(event, error);
      }
    }
  }

  /** Tells of what went wrong that nobody waits for. */
  report(error: SwitchboardError): void {
    this.call(this.#errorEvent, error);
  }

  /** A fault of the program shows even where nobody listens for errors, or that listener has it. */
  #failed(event: string, error: unknown): void {
    const failure = listenerError(event, error);
    if (event !== this.#errorEvent && this.#table.has(this.#errorEvent)) this.report(failure);
    else console.error(failure);
  }

  #of(event: string): readonly Entry[] {
    return this.#table.get(event) ?? [];
  }

  #keep(event: string, wanted: (entry: Entry) => boolean): void {
    const left = this.#of(event).filter(wanted);
    if (left.length) this.#table.set(event, left);
    else this.#table.delete(event);
  }
}
