/**
 * The messages that were sent while disconnected, bounded in bytes.
 */

import { QueueFullError } from "./errors.js";
import { byteLength, oversize } from "./json.js";

export class OfflineQueue {
  #messages: string[] = [];
  #bytes = 0;

  /** Adds a message. Throws `QueueFullError` if the queue would have more than `bytesMax`; earlier messages stay. */
  push(message: string, bytesMax: number): void {
    const bytes = this.#bytes + byteLength(message);
    if (bytes > bytesMax) throw new QueueFullError(oversize("the offline queue", bytes, "bytes", "queueBytesMax", bytesMax));
    this.#bytes = bytes;
    this.#messages.push(message);
  }

  /** Whether a message waits. */
  has(message: string): boolean {
    return this.#messages.includes(message);
  }

  /** Empties the queue and returns its messages in order. */
  takeAll(): string[] {
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    return messages;
  }
}
