/**
 * JSON encoding, with errors for values that JSON would drop or change.
 */

import { check } from "./check.js";
import { BadDataError, TooLargeError, type ErrorClass } from "./errors.js";

/** A JSON object with unchecked members. */
export type JsonObject = { readonly [name: string]: unknown };

const NAME_BYTES_MAX = 256;

/**
 * Encodes the value. Throws `BadDataError` with the path of a value that JSON cannot represent or would
 * silently change: it would omit functions and symbols, turn NaN, invalid dates and missing elements into
 * `null`, and objects that are more than their properties, such as a Map, an Error or a Promise, into `{}`.
 */
export function encode(value: JsonObject, paths?: Map<unknown, string>): string {
  try {
    return JSON.stringify(value, function (this: JsonObject, name: string, encodable: unknown) {
      const parent = paths?.get(this);
      const path = parent ? `${parent}.${name}` : name;
      if (!isFaithful(this[name], encodable, this)) throw new TypeError(`${path || "the value"} is ${tagOf(this[name])}`);
      paths?.set(encodable, path);
      return encodable;
    });
  } catch (cause) {
    // Paths take time, so only an error has them.
    if (!paths) return encode(value, new Map());
    throw new BadDataError(`no JSON: ${(cause as Error).message}`, { cause });
  }
}

/** Whether JSON represents a member of `holder`. `encodable` is the result of its `toJSON`, or else the member. */
function isFaithful(member: unknown, encodable: unknown, holder: object): boolean {
  const type = typeof encodable;
  // A member that is undefined is absent.
  if (encodable == null) return encodable === member && (encodable === null || !Array.isArray(holder));
  if (type === "object") return Array.isArray(encodable) || tagOf(encodable) === "[object Object]";
  return type === "number" ? isFinite(encodable as number) : /^(st|bo)/.test(type);
}

export function isObject(value: unknown): value is JsonObject {
  return Object(value) === value && !Array.isArray(value);
}

/**
 * Throws `BadDataError` if the name is empty, too long or begins with the `reserved` prefix, and
 * `BadOptionError` if it is not a string.
 */
export function checkEventName(name: string, reserved: string): void {
  check("event name", name, "");
  if (!name || byteLength(name) > NAME_BYTES_MAX || name.startsWith(reserved)) {
    throw new BadDataError(`bad event name: ${name}`);
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

/** Such as `[object Promise]`; `[object Object]` for plain objects and other classes. */
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value);
}
