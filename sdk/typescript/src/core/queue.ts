/**
 * Messages that wait for a connection, in order, up to a number of bytes.
 *
 * When it is full a message is refused: its sender knows of it, and what was queued before stays.
 */

import { QueueFullError } from "./errors.js";
import { byteLength } from "./json.js";

export class Queue {
  #messages: string[] = [];
  #bytes = 0;

  /** Throws `QueueFullError`, and keeps nothing of the message, if it does not fit. */
  push(message: string, bytesMax: number): void {
    const bytes = this.#bytes + byteLength(message);
    if (bytes > bytesMax) throw new QueueFullError(`the queue holds ${bytesMax} bytes`);
    this.#bytes = bytes;
    this.#messages.push(message);
  }

  /** Takes out everything. */
  drain(): string[] {
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    return messages;
  }
}
