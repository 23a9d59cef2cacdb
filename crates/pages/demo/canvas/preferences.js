// How the reader likes pages: with little motion, in the dark.

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

/** True when things should appear and go without gliding, growing or shrinking. */
export function isCalm() {
  return calm.matches;
}

export function isDark() {
  return dark.matches;
}
