/**
 * Where a project is reached: the addresses of its socket and of its list of shards.
 */

/**
 * `path` at the host, which is one with or without a port, or an address; default the page's. Where
 * there is none either, no address: no host can be named `?`.
 */
export function place(host: string | undefined, path: string): string {
  const page = globalThis.location as Location | undefined;
  return (host || page?.host || "?")
    .replace(/^(?!.*\/\/)/, `${page?.protocol ?? "wss:"}//`)
    .replace(/^http/, "ws")
    .replace(/\/*$/, `/${path}`);
}
