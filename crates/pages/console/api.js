// Calls of the HTTP API, with the cookie of the session.

/** Tells the server that this page sent the request; a page of another origin cannot add it. */
const HEADERS = { "x-switchboard-console": "1" };

const BASE = new URL("../api/v1/", document.baseURI);
const SESSION = new URL("session", document.baseURI);

/** Why a call failed: a problem of the API, or no answer at all (status 0). */
export class Problem extends Error {
  constructor(status, { detail, code, field } = {}) {
    super(detail ?? "The node does not answer.");
    Object.assign(this, { status, code, field });
  }
}

/** Called when the session has ended. */
let onSignedOut = () => {};
export const listenForSignOut = (listener) => { onSignedOut = listener; };

async function send(url, method, body, signal) {
  let answer;
  try {
    answer = await fetch(url, {
      method,
      signal,
      headers: body === undefined ? HEADERS : { ...HEADERS, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (answer.status === 204) return null;
  const json = await answer.json().catch(() => ({}));
  if (answer.ok) return json;
  throw new Problem(answer.status, json);
}

/** The address of an endpoint. Parameters that are empty are left out. */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function call(...request) {
  try {
    return await send(...request);
  } catch (error) {
    if (error.status === 401) onSignedOut();
    throw error;
  }
}

export const get = (path, query, signal) => call(address(path, query), "GET", undefined, signal);
export const post = (path, body) => call(address(path), "POST", body);

/** A part of a path: names may contain any character. */
export const segment = (name) => encodeURIComponent(name);

export const session = {
  read: () => send(SESSION, "GET"),
  open: (key) => send(SESSION, "POST", { key }),
  end: () => send(SESSION, "DELETE"),
};
