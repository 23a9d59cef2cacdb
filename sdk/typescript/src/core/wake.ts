/**
 * Moments at which a page may find that the world has moved on: the network is back, the tab is
 * looked at again, the page was shown from the browser's cache.
 */

const HIDDEN_OR_SHOWN = "visibilitychange";

const EVENTS = ["online", "pageshow", HIDDEN_OR_SHOWN];

/** Calls `wake` at each such moment, until the signal is aborted. */
export function onWake(wake: () => void, signal: AbortSignal): void {
  const happened = ({ type }: Event) => {
    if (type !== HIDDEN_OR_SHOWN || document.visibilityState === "visible") wake();
  };
  // No page need be there.
  const page = globalThis as Partial<typeof globalThis>;
  for (const event of EVENTS) page.addEventListener?.(event, happened, { signal });
}

/** False only where the browser is sure that there is no network. */
export function mayBeOnline(): boolean {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.onLine !== false;
}
