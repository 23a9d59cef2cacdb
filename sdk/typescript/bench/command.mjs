// The command line of the benchmarks.

/** Ends quietly, with the status that a shell gives to other programs, if the reader of the output is gone. */
process.stdout.on("error", ({ code }) => process.exit(code === "EPIPE" ? 141 : 1));

/** Returns an argument as a number from 1 to `max`. Ends the process with status 2 if it is none. */
export function numberArgument(index, name, fallback, max) {
  const text = process.argv[index + 2] ?? fallback;
  const number = Number(text);
  if (number >= 1 && number <= max) return number;
  console.error(`${name} is ${text}; expected a number from 1 to ${max}`);
  process.exit(2);
}
