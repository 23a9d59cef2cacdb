/**
 * A message of Mesa: an operation, data, and a type that says what the data is.
 */

import { byteLength, checkSize, encode } from "../core/json.js";

/** The longest type, in bytes; the server passes over messages with longer ones. */
const TYPE_BYTES_MAX = 256;

/** What a message may ask of those that carry it. */
export interface MessageOptions {
  /** Whether it waits for users who are away. Default true. */
  readonly sync?: boolean | undefined;
}

/** A message to send, or one that came. */
export class Message<Data = unknown> {
  /** The operation: 0 for a message of the application. */
  readonly opcode: number;
  /** Any JSON. Nothing is `{}` on the wire. */
  readonly data: Data;
  /** What the data is; at most 256 bytes in UTF-8. */
  readonly type: string | undefined;
  /** What the message serverRequests of those that carry it; sent as `o`. */
  readonly options: MessageOptions | undefined;
  /** Of one that waited for its user: which it is of those that did, from 1. Undefined for others. */
  sequence: number | undefined;

  /** What cannot be sent is found when it is sent. */
  constructor(opcode: number, data: Data, type?: string, options?: MessageOptions) {
    this.opcode = opcode;
    this.data = data;
    this.type = type;
    this.options = options;
  }

  /** Whether it waited while its user was away. */
  get isRedelivered(): boolean {
    return this.sequence !== undefined;
  }

  /**
   * The message as it goes over the wire. Throws `EncodeError` where JSON cannot hold the data, and
   * `TooLargeError` if the type is too long.
   */
  serialize(): string {
    checkSize(byteLength(this.type ?? ""), TYPE_BYTES_MAX);
    return encode({ op: this.opcode, d: this.data ?? {}, t: this.type || undefined, o: this.options });
  }
}
