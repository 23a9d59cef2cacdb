/**
 * Checks of options and arguments, so that a mistake is an error of the call that makes it.
 */

import { BadOptionError } from "./errors.js";

/** A value of the type of each option; `"0"` stands for strings and numbers. */
export type Examples<Options> = { readonly [Name in keyof Required<Options>]: unknown };

/** Throws `BadOptionError` if the value has another type than the example, or is a negative number or NaN. */
export function check(name: string, value: unknown, example: unknown): void {
  const [type, expected] = [typeof value, typeof example];
  const isValid = type === "number" ? (value as number) >= 0 && /^[\dI]/.test(`${example}`) : type === expected;
  // Without the value, which may be a secret.
  if (!isValid) throw new BadOptionError(`${name} must be of type ${expected}${type === expected ? ", from 0" : ""}`);
}

/** Checks each option; throws also for an unknown one. Undefined and null count as absent. */
export function checkOptions<Options extends object>(options: Options | undefined, examples: Examples<Options>): void {
  for (const [name, value] of Object.entries(options ?? {})) {
    if (!Object.hasOwn(examples, name)) throw new BadOptionError(`there is no option ${name}`);
    if (value != null) check(name, value, examples[name as keyof Options]);
  }
}
