/**
 * Dispatches over a server's HTTP API. A transient failure is retried with the same idempotency key, so that the
 * request takes effect once.
 */

import { after } from "../core/after.js";
import { backoff } from "../core/backoff.js";
import { AbortedError, BadOptionError, ConnectFailedError, TimeoutError } from "../core/errors.js";
import { encode, isObject } from "../core/json.js";
import { CALL_OPTIONS, withTimeout, type CallOptions } from "../core/timeout.js";
import { usersOf } from "./audience.js";
import { ApiError } from "./errors.js";
import type { DispatcherOptions } from "./options.js";
import type { AddressedRequest, DisconnectRequest, DispatchRequest, DispatchResult, Transport } from "./transport.js";

/** The time limit of all attempts together. */
const TIMEOUT_MS = 30_000;
/** The time limit of one attempt. */
const ATTEMPT_TIMEOUT_MS = 5000;
const RETRIES_MAX = 5;
/** The ceiling of the first retry delay; it doubles with each attempt. */
const RETRY_DELAY_MS = 200;
const RETRY_DELAY_MAX_MS = 5000;

/** Transient: the request is already under way, the rate limit is reached, or a server behind the address is down. */
const TRANSIENT_STATUSES = [409, 429, 502, 503, 504];

export class HttpTransport implements Transport {
  readonly #api: URL;
  readonly #key: string;
  readonly #project: string | undefined;
  readonly #retries: number;

  constructor(address: string, { key, namespace, maxRetries = RETRIES_MAX }: DispatcherOptions) {
    if (!key) throw new BadOptionError("the HTTP API needs a key; pass one of the server's api.keys as `key`");
    if (!URL.canParse(address)) throw new BadOptionError(`${address} is not a valid address`);
    const base = new URL(address);
    if (base.username || base.password || base.search || base.hash) {
      throw new BadOptionError(`${base.origin} must be followed by nothing but a path; pass a key as \`key\``);
    }
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#api = new URL("api/v1/", base);
    this.#key = key;
    this.#project = namespace;
    this.#retries = maxRetries;
  }

  send(request: DispatchRequest, options: CallOptions): Promise<DispatchResult> {
    const { content, store } = request;
    const onlyUsers = usersOf(request.to, request.except) !== undefined;
    const { opcode: op, type, data } = content;
    const message = { op, type: type || undefined, data: data ?? {}, sync: store && onlyUsers };
    return this.#call("dispatch", request, message, options);
  }

  disconnect(request: DisconnectRequest, options: CallOptions): Promise<DispatchResult> {
    return this.#call("disconnect", request, { code: request.code, reason: request.reason }, options);
  }

  async close(): Promise<void> {}

  /** Calls an endpoint, with retries. */
  async #call(endpoint: string, request: AddressedRequest, content: object, options: CallOptions): Promise<DispatchResult> {
    const { to, except, idempotencyKey } = request;
    const users = usersOf(to, except);
    if (users?.length === 0) return {};
    const audience = users ? { to: { users } } : { to, except };
    const body = encode({ ...content, ...audience, project: this.#project });
    const call = { url: new URL(endpoint, this.#api), body, headers: this.#headers(idempotencyKey) };
    const wait = { subject: "answer of the API", timeout: TIMEOUT_MS, options, known: CALL_OPTIONS };
    return withTimeout<DispatchResult>(wait, (resolve, reject, settled) => {
      this.#callWithRetries(call, settled).then(resolve, reject);
    });
  }

  #headers(idempotencyKey: string): Headers {
    try {
      const authorization = `Bearer ${this.#key}`;
      return new Headers({ authorization, "content-type": "application/json", "idempotency-key": idempotencyKey });
    } catch (cause) {
      throw new BadOptionError("`key` and `idempotencyKey` may only contain characters of HTTP headers", cause);
    }
  }

  async #callWithRetries(call: ApiCall, signal: AbortSignal): Promise<DispatchResult> {
    for (let retries = 0; ; retries++) {
      try {
        return await this.#callOnce(call, signal);
      } catch (error) {
        const delay = retryDelay(error);
        if (delay === undefined || retries >= this.#retries || signal.aborted) throw error;
        // Jitter keeps clients that failed together from retrying in step.
        await sleep(delay + backoff(retries, RETRY_DELAY_MS, RETRY_DELAY_MAX_MS, Math.random()), signal);
      }
    }
  }

  async #callOnce({ url, body, headers }: ApiCall, signal: AbortSignal): Promise<DispatchResult> {
    const wait = { subject: `answer from ${url.host}`, timeout: ATTEMPT_TIMEOUT_MS, options: { signal }, known: CALL_OPTIONS };
    const { response, content } = await withTimeout<Answer>(wait, (resolve, reject, settled) => {
      const fetched = fetch(url, { method: "POST", headers, body, redirect: "error", signal: settled });
      fetched.then(readAnswer).then(resolve, reject);
    }).catch((cause: unknown) => {
      if (cause instanceof TimeoutError || cause instanceof AbortedError) throw cause;
      throw new ConnectFailedError(`no answer from ${url.host}; check that its API listens there`, undefined, cause);
    });
    if (!response.ok || !isObject(content)) throw apiError(response, content);
    const { sockets_here, inboxes, evicted, degraded } = content as DispatchResult & { readonly sockets_here?: number };
    return { inboxes, evicted, socketsHere: sockets_here, degraded };
  }
}

interface ApiCall {
  readonly url: URL;
  readonly body: string;
  readonly headers: Headers;
}

interface Answer {
  readonly response: Response;
  /** The parsed body; undefined if it is not JSON. */
  readonly content: unknown;
}

async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  try {
    return { response, content: JSON.parse(text) };
  } catch {
    return { response, content: undefined };
  }
}

function apiError({ status, headers }: Response, content: unknown): ApiError {
  const { code, error } = isObject(content) ? content : {};
  const retryAfterMs = Number(headers.get("retry-after")) * 1000 || 0;
  const message = typeof error === "string" ? error : `unexpected response with status ${status}`;
  return new ApiError(typeof code === "string" ? code : "unexpected", message, status, retryAfterMs);
}

/** Returns the minimum delay before a retry in ms; undefined if a retry would fail as well. */
function retryDelay(error: unknown): number | undefined {
  if (error instanceof ApiError) return TRANSIENT_STATUSES.includes(error.status) ? error.retryAfterMs : undefined;
  return error instanceof ConnectFailedError || error instanceof TimeoutError ? 0 : undefined;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      stop();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const stop = after(ms, end);
    signal.addEventListener("abort", end);
  });
}
