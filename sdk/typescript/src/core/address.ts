/**
 * The addresses of servers.
 */

import { BadOptionError } from "./errors.js";

const SCHEME = /^[a-z][a-z\d+.-]*:\/\//i;

/** A host that is this machine: it has no certificate, and browsers allow `ws` to it from every page. */
const LOOPBACK = /^(localhost|[^/:?#]+\.localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\])(?=[:/?#]|$)/i;

/**
 * Returns the WebSocket address for a URL with `ws`, `wss`, `http` or `https`, a host such as `localhost:3000`, or a
 * path of the page's server such as `/chat`. A host without a scheme is connected to with the encryption of the page,
 * outside web pages with `wss`; this machine with `ws`. Throws `BadOptionError` for any other text.
 */
export function webSocketUrl(address: string | URL): URL {
  const text = `${address}`;
  const isPath = !text || /^[/?#.]/.test(text);
  const full = isPath || SCHEME.test(text) ? text : `${schemeOf(text)}//${text}`;
  try {
    const parsed = new URL(full, webPage()?.href);
    parsed.protocol = parsed.protocol.replace("http", "ws");
    // The WebSocket constructor rejects a fragment.
    parsed.hash = "";
    if (/^wss?:$/.test(parsed.protocol)) return parsed;
  } catch {
    // Reported below.
  }
  throw new BadOptionError(`${JSON.stringify(text)} is not a WebSocket address; use one such as ws://localhost:3000`);
}

/** Returns the address of a path below a host's address; without a host, below the page's server. */
export function urlBelow(host: string | undefined, path: string): URL {
  if (!host && !webPage()) {
    throw new BadOptionError("there is no web page whose host could be used; pass host, such as localhost:3000");
  }
  const url = webSocketUrl(host || "/");
  url.pathname = url.pathname.replace(/\/*$/, `/${path}`);
  return url;
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

/**
 * The address in messages: without user, password and query, which may contain a token. That of the page's own server
 * says so: it may be a development server, such as Vite.
 */
export function shownAddress({ protocol, host, pathname }: URL): string {
  const owner = webPage()?.host === host ? ", the page's own server" : "";
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}${owner}`;
}

function schemeOf(host: string): string {
  if (LOOPBACK.test(host)) return "ws:";
  return webPage()?.protocol ?? "wss:";
}

/** The location of the page, if it came from a web server; pages of packaged apps did not. */
function webPage(): Location | undefined {
  const location = globalThis.location as Location | undefined;
  return location && /^https?:$/.test(location.protocol) ? location : undefined;
}
