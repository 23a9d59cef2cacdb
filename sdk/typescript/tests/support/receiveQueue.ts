/**
 * Things in the order they come, for a test that waits for the next.
 */

/** How long a test waits for what must come; nothing waits that long where all is well. */
const PATIENCE_MS = 15_000;

export class ReceiveQueue<T> {
  readonly #items: T[] = [];
  #waiting: ((item: T) => void) | undefined;

  readonly put = (item: T): void => {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting(item);
    else this.#items.push(item);
  };

  /** The next item, now or when it comes. */
  next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    const { stack } = new Error("nothing came");
    return new Promise((resolve, reject) => {
      const timer = realSetTimeout(() => reject(new Error(stack)), PATIENCE_MS);
      this.#waiting = (next) => {
        clearTimeout(timer);
        resolve(next);
      };
    });
  }

  /** The next item that is wanted; what comes before it is passed over. */
  async nextWhere(wanted: (item: T) => boolean): Promise<T> {
    for (;;) {
      const item = await this.next();
      if (wanted(item)) return item;
    }
  }

  /** What is here now. */
  get waiting(): readonly T[] {
    return this.#items;
  }
}

// Tests may replace the timers.
const realSetTimeout = setTimeout;
