/**
 * Where a project is reached: the addresses of its socket and of its list of shards.
 */

import { address } from "../core/options.js";

/** `path` at the host, which is one with or without a port, or an address; default the page's. */
export function place(host: string | undefined, path: string): URL {
  const page = globalThis.location as Location | undefined;
  const given = host ?? page?.origin ?? "";
  const base = address(given.includes("//") ? given : `//${given}`, page?.href ?? "wss://localhost");
  // Without a slash the last part of the path would be replaced.
  return new URL(path, base.href.replace(/\/*$/, "/"));
}

export function socketUrl(host: string | undefined, query: { readonly [name: string]: unknown }): string {
  const url = place(host, "koji");
  for (const name in query) if (query[name]) url.searchParams.set(name, `${query[name]}`);
  return url.href;
}

export function infoUrl(host: string | undefined, projectId = ""): string {
  return place(host, `info/${encodeURIComponent(projectId)}`).href.replace("ws", "http");
}
