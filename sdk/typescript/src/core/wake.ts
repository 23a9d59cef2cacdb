/**
 * Browser events after which a connection may be dead or a reconnect may succeed: the network is back,
 * the tab becomes visible, the page returns from the back/forward cache.
 */

/** Calls `wake` on each such event, and when the tab is hidden, until the controller aborts. */
export function onWake(wake: () => void, until: AbortController): void {
  // Outside browsers there may be no `addEventListener`.
  for (const event of ["online", "pageshow", "visibilitychange"]) globalThis.addEventListener?.(event, wake, until);
}

/** Returns false only if the browser reports that it is offline. */
export function mayBeOnline(): boolean {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.onLine !== false;
}
