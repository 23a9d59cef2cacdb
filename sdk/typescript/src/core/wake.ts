/**
 * Moments at which a page may find that the world has moved on: the network is back, the tab is
 * looked at again, the page was shown from the browser's cache.
 */

/** Calls `wake` at each such moment, and when the tab is hidden, until the signal is aborted. */
export function onWake(wake: () => void, signal: AbortSignal): void {
  // No page need be there.
  const page = globalThis as Partial<typeof globalThis>;
  for (const event of ["online", "pageshow", "visibilitychange"]) page.addEventListener?.(event, wake, { signal });
}

/** False only where the browser is sure that there is no network. */
export function mayBeOnline(): boolean {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.onLine !== false;
}
