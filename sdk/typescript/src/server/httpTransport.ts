/**
 * Dispatches over a server's HTTP API. A transient failure is retried with the same idempotency key, so that the
 * request takes effect once.
 */

import { after } from "../core/after.js";
import { backoff } from "../core/backoff.js";
import { AbortedError, BadOptionError, ConnectFailedError, messageOf, TimeoutError } from "../core/errors.js";
import { encode, isObject, type JsonObject } from "../core/json.js";
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
    if (!key) throw new BadOptionError("the HTTP API needs a key; pass one of the server's keys (api.keys) as `key`");
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
    const { content, store, policy, key } = request;
    const onlyUsers = usersOf(request.to, request.except) !== undefined;
    const { opcode: op, type, data } = content;
    const message = { op, type: type || undefined, data: data ?? {}, sync: store && onlyUsers, policy, key };
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
    let lastError: unknown;
    const called = withTimeout<DispatchResult>(wait, (resolve, reject, settled) => {
      this.#callWithRetries(call, settled, (error) => (lastError = error)).then(resolve, reject);
    });
    return called.catch((error: unknown) => {
      // The error of the last attempt says more than that the time is up.
      if (!(error instanceof TimeoutError) || !lastError) throw error;
      throw new TimeoutError(`${error.message}: ${messageOf(lastError)}`, lastError);
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

  /** Repeats a call after transient failures, which `failed` receives. */
  async #callWithRetries(call: ApiCall, signal: AbortSignal, failed: (error: unknown) => void): Promise<DispatchResult> {
    for (let retries = 0; ; retries++) {
      try {
        return await this.#callOnce(call, signal);
      } catch (error) {
        const delay = retryDelay(error);
        if (delay === undefined || retries >= this.#retries || signal.aborted) throw error;
        failed(error);
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
    if (!response.ok || !isObject(content)) throw apiError(url, response, content);
    return resultOf(content);
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

/** The parts of the result that the server sent. */
function resultOf({ sockets_here: socketsHere, inboxes, evicted, degraded }: JsonObject): DispatchResult {
  const parts = Object.entries({ socketsHere, inboxes, evicted, degraded });
  return Object.fromEntries(parts.filter(([, value]) => value !== undefined)) as DispatchResult;
}

function apiError(url: URL, { status, headers }: Response, content: unknown): ApiError {
  const { code, detail } = isObject(content) ? content : {};
  const retryAfterMs = Number(headers.get("retry-after")) * 1000 || 0;
  const unexpected = `unexpected response with status ${status}; check that the HTTP API (api.listen) has the address ${url.origin}`;
  const message = typeof detail === "string" ? detail : unexpected;
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
