/**
 * JSON encoding, with errors for values that JSON would drop or change.
 */

import { BadDataError, TooLargeError, type ErrorClass } from "./errors.js";

/** A JSON object with unchecked members. */
export type JsonObject = { readonly [name: string]: unknown };

const NAME_BYTES_MAX = 256;

/** Encodes the value. Throws `BadDataError` if JSON cannot represent it or would silently change it. */
export function encode(value: JsonObject): string {
  try {
    return JSON.stringify(value, rejectUnencodable);
  } catch (cause) {
    throw new BadDataError(`no JSON: ${(cause as Error).message}`, { cause });
  }
}

export function isObject(value: unknown): value is JsonObject {
  return Object(value) === value && !Array.isArray(value);
}

/** Throws `BadDataError` if the name is empty, too long or begins with the `reserved` prefix. */
export function checkEventName(name: string, reserved: string): void {
  if (!name || byteLength(name) > NAME_BYTES_MAX || name.startsWith(reserved)) {
    throw new BadDataError(`bad name: ${name}`);
  }
}

/** Returns the size; throws a `Kind` if it exceeds `limit`. */
export function checkSize(size: number, limit: number, Kind: ErrorClass = TooLargeError): number {
  if (size > limit) throw new Kind(`${size} is over ${limit}`);
  return size;
}

/** The length of the text in UTF-8. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/**
 * A replacer for `JSON.stringify`, which would omit functions and symbols, encode a Map or Set as `{}` and
 * NaN or Infinity as `null`. It rejects bigints itself.
 */
function rejectUnencodable(name: string, value: unknown): unknown {
  const isUnencodable = /^(f|sy)/.test(typeof value) || value instanceof Map || value instanceof Set;
  if (isUnencodable || (typeof value === "number" && !isFinite(value))) throw new TypeError(name);
  return value;
}
