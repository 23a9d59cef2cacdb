/**
 * Moments at which a page may find that the world has moved on: the network is back, the tab is
 * looked at again, the page was shown from the browser's cache.
 */

const HIDDEN_OR_SHOWN = "visibilitychange";

const EVENTS = ["online", "pageshow", HIDDEN_OR_SHOWN];

/** Calls `wake` at each such moment, until the returned function is called. */
export function onWake(wake: () => void): () => void {
  // No page need be there.
  const page = globalThis as Partial<typeof globalThis>;
  const happened = ({ type }: Event) => {
    if (type !== HIDDEN_OR_SHOWN || page.document?.visibilityState === "visible") wake();
  };
  for (const event of EVENTS) page.addEventListener?.(event, happened);
  return () => {
    for (const event of EVENTS) page.removeEventListener?.(event, happened);
  };
}

/** False only where the browser is sure that there is no network. */
export function mayBeOnline(): boolean {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.onLine !== false;
}
