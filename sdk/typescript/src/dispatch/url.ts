/**
 * The addresses of Koji endpoints.
 */

/**
 * Returns the WebSocket address of `path` on a host, which is a host name with an optional port, or an
 * address. Default: the host of the page. Without a page the result is invalid, because `?` is not a host.
 */
export function kojiUrl(host: string | undefined, path: string): string {
  const page = globalThis.location as Location | undefined;
  return (host || page?.host || "?")
    .replace(/^(?!.*\/\/)/, `${page?.protocol ?? "wss:"}//`)
    .replace(/^http/, "ws")
    .replace(/\/*$/, `/${path}`);
}
