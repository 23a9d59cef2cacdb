/**
 * JSON in and out, with clear errors for what it cannot hold.
 */

import { EncodeError, TooLargeError, type ErrorClass } from "./errors.js";

/** An object of JSON whose members nobody has looked at yet. */
export type JsonObject = { readonly [name: string]: unknown };

const NAME_BYTES_MAX = 256;

/** The value as text. Throws `EncodeError` where JSON would fail, or silently say something else. */
export function encode(value: JsonObject): string {
  try {
    return JSON.stringify(value, sendable);
  } catch (cause) {
    throw new EncodeError(`no JSON: ${(cause as Error).message}`, { cause });
  }
}

export function isObject(value: unknown): value is JsonObject {
  return Object(value) === value && !Array.isArray(value);
}

/** Throws if no event that is sent can have the name; `reserved` begins names that are not sent. */
export function checkEventName(name: string, reserved: string): void {
  if (!name || byteLength(name) > NAME_BYTES_MAX || name.startsWith(reserved)) {
    throw new EncodeError(`bad name: ${name}`);
  }
}

/** Gives the size back; throws if it is over `limit`. */
export function checkSize(size: number, limit: number, TooMuch: ErrorClass = TooLargeError): number {
  if (size > limit) throw new TooMuch(`${size} is over ${limit}`);
  return size;
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** JSON would leave out the first two, make the next `{}`, and the last `null`. It refuses a bigint itself. */
function sendable(name: string, value: unknown): unknown {
  const isOdd = /^(f|sy)/.test(typeof value) || value instanceof Map || value instanceof Set;
  if (isOdd || (typeof value === "number" && !isFinite(value))) throw new TypeError(name);
  return value;
}
