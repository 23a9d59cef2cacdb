/**
 * JSON in and out, with clear errors for what it cannot hold.
 */

import { EncodeError, ProtocolError, TooLargeError } from "./errors.js";

/** An object of JSON whose members nobody has looked at yet. */
export type Members = { readonly [name: string]: unknown };

const NAME_BYTES_MAX = 256;

/** The value as text. Throws `EncodeError` where JSON would fail, or silently say something else. */
export function encode(value: Members): string {
  try {
    return JSON.stringify(value, sendable);
  } catch (cause) {
    throw new EncodeError(`JSON cannot hold it: ${(cause as Error).message}`, { cause });
  }
}

/** A frame of the server; throws `ProtocolError` if it is no object of JSON. */
export function decode(frame: unknown): Members {
  let value: unknown;
  try {
    // What is no text would be made one.
    value = typeof frame === "string" && JSON.parse(frame);
  } catch {
    // No object either.
  }
  if (isObject(value)) return value;
  throw new ProtocolError("the frame is no JSON object", { frame });
}

export function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Throws if no event that is sent can have the name; `reserved` begins names that are not sent. */
export function checkName(name: string, reserved: string): void {
  if (typeof name !== "string" || !name || byteLength(name) > NAME_BYTES_MAX || name.startsWith(reserved)) {
    throw new EncodeError(`an event's name has 1 to ${NAME_BYTES_MAX} bytes, and no ${reserved} in front`);
  }
}

/** Gives the text back; throws if it has over `limit` bytes in UTF-8. */
export function checkBytes(text: string, limit: number): string {
  // No text has more bytes than three times its units, so most need no counting.
  const bytes = text.length * 3 > limit ? byteLength(text) : 0;
  if (bytes > limit) throw tooLarge(bytes, limit);
  return text;
}

export function tooLarge(size: number, limit: number): Error {
  return new TooLargeError(`the message has ${size}, the most is ${limit}`);
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

function sendable(name: string, value: unknown): unknown {
  const isOdd = /^(big|f|sy)/.test(typeof value) || value instanceof Map || value instanceof Set;
  if (isOdd || (typeof value === "number" && !Number.isFinite(value))) {
    throw new TypeError(`${name} is ${typeof value === "number" ? value : `a ${typeof value}`}`);
  }
  return value;
}
