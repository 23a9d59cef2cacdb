// The display preferences of the user.

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Whether animations should be off. */
export function prefersReducedMotion() {
  return reducedMotion.matches;
}

export function prefersDark() {
  return dark.matches;
}
