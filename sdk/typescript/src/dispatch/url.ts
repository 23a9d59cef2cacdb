/**
 * The addresses of Koji endpoints.
 */

import { BadOptionError } from "../core/errors.js";

/**
 * Returns the WebSocket address of `path` on a host, which is a host name with an optional port, or an
 * address. Default: the host of the page. A page of another scheme, as in a packaged app, has no host; its
 * connections are encrypted. Without a host the result is invalid, because `?` is not a host.
 */
export function kojiUrl(host: string | undefined, path: string): string {
  const { protocol, host: own } = (globalThis.location ?? {}) as Partial<Location>;
  const isWebPage = /^https?:$/.test(`${protocol}`);
  return (host || (isWebPage && own) || "?")
    .replace(/^(?!.*\/\/)/, `${isWebPage ? protocol : "wss:"}//`)
    .replace(/^http/, "ws")
    .replace(/\/*$/, `/${path}`);
}

/** Encodes a name for an address. Throws `BadOptionError` if it matches `excluded`, or has half of a surrogate pair. */
export function encodeName(name: string | number, excluded?: RegExp): string {
  try {
    if (!excluded?.test(`${name}`)) return encodeURIComponent(name);
  } catch {
    // Reported below.
  }
  throw new BadOptionError(`an address cannot contain ${JSON.stringify(name)}`);
}
