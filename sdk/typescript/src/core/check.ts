/**
 * Checks of options and arguments, so that a mistake is an error of the call that makes it. The message names
 * the option, the value and what is expected.
 */

import { BadOptionError } from "./errors.js";

/** The values that an option or argument may have. */
export interface Expectation {
  /** In words, such as `a string`. */
  readonly expected: string;
  /** Whether the value is one of them. */
  readonly allows: (value: unknown) => boolean;
  /** Whether messages omit the value. */
  readonly isSecret?: boolean;
}

/** An expectation for each option. */
export type Expectations<Options> = { readonly [Name in keyof Required<Options>]: Expectation };

const isString = (value: unknown): boolean => typeof value === "string";
const isNumberFrom0 = (value: unknown): boolean => typeof value === "number" && value >= 0;

export const STRING: Expectation = { expected: "a string", allows: isString };
export const NAME: Expectation = { expected: "a string that is not empty", allows: (value) => isString(value) && value !== "" };
export const SECRET: Expectation = { expected: "a string", allows: isString, isSecret: true };
export const BOOLEAN: Expectation = { expected: "true or false", allows: (value) => typeof value === "boolean" };
export const FUNCTION: Expectation = { expected: "a function", allows: (value) => typeof value === "function" };
export const OBJECT: Expectation = { expected: "an object", allows: (value) => typeof value === "object" && value !== null };
export const MILLISECONDS: Expectation = { expected: "a number of milliseconds, 0 or more", allows: isNumberFrom0 };
export const BYTES: Expectation = { expected: "a number of bytes, 0 or more", allows: isNumberFrom0 };
export const COUNT: Expectation = { expected: "a number, 0 or more", allows: isNumberFrom0 };
export const WHOLE_NUMBER: Expectation = { expected: "a whole number", allows: (value) => Number.isInteger(value) };
/** A whole number from 1 to `max`; a string of its digits, too, if `orText`. */
export const wholeNumber = (max: number, orText?: boolean): Expectation => ({
  expected: `a whole number from 1 to ${max.toLocaleString("en-US")}`,
  allows: (value) => {
    const isNumber = Number.isInteger(value) || (orText && isString(value) && /^[1-9]\d*$/.test(value as string));
    return !!isNumber && Number(value) >= 1 && Number(value) <= max;
  },
});
export const STRING_OR_NUMBER: Expectation = {
  expected: "a string or a number",
  allows: (value) => isString(value) || typeof value === "number",
};
export const SIGNAL: Expectation = {
  expected: "an AbortSignal",
  allows: (value) => OBJECT.allows(value) && "aborted" in (value as object),
};

/** Throws `BadOptionError` if the value is not as expected. */
export function check(name: string, value: unknown, { expected, allows, isSecret }: Expectation): void {
  if (!allows(value)) throw new BadOptionError(`${name} is ${isSecret ? typeof value : shown(value)}; expected ${expected}`);
}

/** Checks each option; throws also for an unknown one. Undefined and null count as absent. */
export function checkOptions<Options extends object>(
  options: Options | undefined,
  expectations: Expectations<Options>,
): void {
  if (options === undefined || options === null) return;
  check("the argument for options", options, OBJECT);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(expectations, name)) throw new BadOptionError(`there is no option ${name}; the options are ${Object.keys(expectations).join(", ")}`);
    if (value !== undefined && value !== null) check(name, value, expectations[name as keyof Options]);
  }
}

/** Such as `"a text"`, `5`, `7n`, `Invalid Date`, `[object Function]` or `[object Promise]`. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Date) return String(value);
  return Object(value) === value ? Object.prototype.toString.call(value) : String(value);
}
