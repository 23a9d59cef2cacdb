/**
 * A Mesa message: an operation code, data and a type.
 */

import { BOOLEAN, check, checkOptions, STRING, WHOLE_NUMBER, type Expectations } from "../core/check.js";
import { byteLength, checkSize, encode } from "../core/json.js";

/** The longest type, in bytes; the server ignores messages with longer ones. */
const TYPE_BYTES_MAX = 256;

/** Delivery options of a message. */
export interface MessageOptions {
  /** Whether the message is stored for offline users. Default true. */
  readonly sync?: boolean | undefined;
}

const MESSAGE_OPTIONS: Expectations<MessageOptions> = { sync: BOOLEAN };

/** A message, to be sent or as received. */
export class Message<Data = unknown> {
  /** The operation code: 0 for a message of the application. */
  readonly opcode: number;
  /** Any JSON value. `undefined` and `null` are sent as `{}`. */
  readonly data: Data;
  /** The type of the data; at most 256 bytes in UTF-8. */
  readonly type: string | undefined;
  /** Delivery options, sent as `o`. */
  readonly options: MessageOptions | undefined;
  /** The position of a redelivered message in the user's inbox, from 1; undefined for other messages. */
  sequence: number | undefined;

  /** Accepts anything; `serialize` checks it. */
  constructor(opcode: number, data: Data, type?: string, options?: MessageOptions) {
    this.opcode = opcode;
    this.data = data;
    this.type = type;
    this.options = options;
  }

  /** Whether the message was stored while its user was offline. */
  get isRedelivered(): boolean {
    return this.sequence !== undefined;
  }

  /**
   * Encodes the message. Throws `BadDataError` if JSON cannot represent the data, `TooLargeError` if the type
   * is too long, and `BadOptionError` if the operation code, the type or an option is of another type.
   */
  serialize(): string {
    check("opcode", this.opcode, WHOLE_NUMBER);
    check("type", this.type ?? "", STRING);
    checkOptions(this.options, MESSAGE_OPTIONS);
    checkSize("the type", byteLength(this.type ?? ""), "bytes", "the limit", TYPE_BYTES_MAX);
    return encode({ op: this.opcode, d: this.data ?? {}, t: this.type || undefined, o: this.options });
  }
}
