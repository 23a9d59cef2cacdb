/**
 * JSON encoding, with errors for values that JSON would drop or change.
 */

import { check, shown, STRING } from "./check.js";
import { BadDataError, messageOf, TooLargeError } from "./errors.js";

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
      if (!isFaithful(this[name], encodable, this)) throw new TypeError(`${path || "the value"} is ${shown(this[name])}`);
      paths?.set(encodable, path);
      return encodable;
    });
  } catch (cause) {
    // Paths take time, so only an error has them.
    if (!paths) return encode(value, new Map());
    throw new BadDataError(`JSON cannot represent the data: ${messageOf(cause)}`, cause);
  }
}

/** Whether JSON represents a member of `holder`. `encodable` is the result of its `toJSON`, or else the member. */
function isFaithful(member: unknown, encodable: unknown, holder: object): boolean {
  // A member that is undefined is absent.
  if (encodable === undefined) return member === undefined && !Array.isArray(holder);
  // An invalid date has no JSON either; its `toJSON` returns null.
  if (encodable === null) return member === null;
  switch (typeof encodable) {
    case "object":
      return Array.isArray(encodable) || isPlain(encodable);
    case "number":
      return isFinite(encodable);
    default:
      return typeof encodable === "string" || typeof encodable === "boolean";
  }
}

/** Whether the object is its properties: a plain object or an instance of an application's class. */
function isPlain(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object Object]";
}

export function isObject(value: unknown): value is JsonObject {
  return Object(value) === value && !Array.isArray(value);
}

/**
 * Throws `BadDataError` if the name is empty, too long or begins with the `reserved` prefix, and
 * `BadOptionError` if it is not a string.
 */
export function checkEventName(name: string, reserved: string): void {
  check("the event name", name, STRING);
  if (!name) throw new BadDataError("the event name is empty");
  if (byteLength(name) > NAME_BYTES_MAX) {
    throw new BadDataError(`the event name ${shown(name)} has ${byteLength(name)} bytes; at most ${NAME_BYTES_MAX} are allowed`);
  }
  if (name.startsWith(reserved)) {
    throw new BadDataError(`the event name ${shown(name)} begins with ${reserved}, which is reserved`);
  }
}

/** Throws `TooLargeError` if `what`, such as `the message`, exceeds a maximum. `limit` names the option of the maximum. */
export function checkSize(what: string, size: number, unit: string, limit: string, max: number): void {
  if (size > max) throw new TooLargeError(oversize(what, size, unit, limit, max));
}

/** Such as `the message has 2,000,024 bytes; messageBytesMax is 1,048,576`. */
export function oversize(what: string, size: number, unit: string, limit: string, max: number): string {
  return `${what} has ${inWords(size)} ${unit}; ${limit} is ${inWords(max)}`;
}

/** Such as `1,048,576`. */
function inWords(number: number): string {
  return number.toLocaleString("en-US");
}

/** The length of the text in UTF-8. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
