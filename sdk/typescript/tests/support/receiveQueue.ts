/**
 * A queue of received items, for tests that wait for the next one.
 */

/** The time limit for the next item; reached only if the test fails. */
const TIMEOUT_MS = 15_000;

export class ReceiveQueue<T> {
  readonly #items: T[] = [];
  #waiting: ((item: T) => void) | undefined;

  readonly put = (item: T): void => {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting(item);
    else this.#items.push(item);
  };

  /** Returns the next item, once it arrives. */
  next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    const { stack } = new Error("no item arrived");
    return new Promise((resolve, reject) => {
      const timer = realSetTimeout(() => reject(new Error(stack)), TIMEOUT_MS);
      this.#waiting = (next) => {
        clearTimeout(timer);
        resolve(next);
      };
    });
  }

  /** Returns the next item that matches; skips the items before it. */
  async nextWhere(matches: (item: T) => boolean): Promise<T> {
    for (;;) {
      const item = await this.next();
      if (matches(item)) return item;
    }
  }

  /** The items that have arrived and not been taken. */
  get pending(): readonly T[] {
    return this.#items;
  }
}

// Tests may install fake timers.
const realSetTimeout = setTimeout;
