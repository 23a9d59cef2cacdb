/**
 * Dispatching by a server's HTTP API. What fails and may go well later is tried again with the same idempotency key,
 * so that nothing is done twice.
 */

import { backoff } from "../core/backoff.js";
import { after, within, type CallOptions } from "../core/timeout.js";
import { AbortedError, ConnectError, OptionError, TimeoutError } from "../core/errors.js";
import { encode, isObject } from "../core/json.js";
import { usersOf } from "./audience.js";
import type { DispatcherOptions } from "./options.js";
import { ApiError } from "./errors.js";
import type { AddressedRequest, DisconnectRequest, DispatchResult, DispatchRequest, Transport } from "./transport.js";

/** How long all tries may take. */
const TIMEOUT_MS = 30_000;
/** How long one try may take. */
const TRY_MS = 5000;
const RETRIES_MAX = 5;
/** The first wait is below this; the next ones double. */
const RETRY_DELAY_MS = 200;
const RETRY_DELAY_MAX_MS = 5000;

/** After these the same request may go well: it is under way, there were too many, or somebody is away. */
const PASSING = [409, 429, 502, 503, 504];

export class HttpTransport implements Transport {
  readonly #api: URL;
  readonly #key: string;
  readonly #project: string | undefined;
  readonly #retries: number;

  constructor(address: string, { key, namespace, maxRetries = RETRIES_MAX }: DispatcherOptions) {
    if (!key) throw new OptionError("the API of a server is asked with a key, one of its api.keys");
    if (!URL.canParse(address)) throw new OptionError(`${address} is no address`);
    const base = new URL(address);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#api = new URL("api/v1/", base);
    this.#key = key;
    this.#project = namespace;
    this.#retries = maxRetries;
  }

  send(parcel: DispatchRequest, wait: CallOptions): Promise<DispatchResult> {
    const { content, waits } = parcel;
    const onlyUsers = usersOf(parcel.to, parcel.except) !== undefined;
    const { opcode: op, type, data } = content;
    const message = { op, type: type || undefined, data: data ?? {}, sync: waits && onlyUsers };
    return this.#ask("dispatch", parcel, message, wait);
  }

  disconnect(closing: DisconnectRequest, wait: CallOptions): Promise<DispatchResult> {
    return this.#ask("disconnect", closing, { code: closing.code, reason: closing.reason }, wait);
  }

  async close(): Promise<void> {}

  /** Has an endpoint do something to somebody. */
  async #ask(endpoint: string, whom: AddressedRequest, what: object, wait: CallOptions): Promise<DispatchResult> {
    const { to, except, idempotencyKey } = whom;
    const users = usersOf(to, except);
    if (users?.length === 0) return {};
    const named = users ? { to: { users } } : { to, except };
    const body = encode({ ...what, ...named, project: this.#project });
    const request = { url: new URL(endpoint, this.#api), body, name: idempotencyKey };
    return within<DispatchResult>(TIMEOUT_MS, wait, "answer of the API", (resolve, reject) => {
      const over = new AbortController();
      this.#tryUntilDone(request, over.signal).then(resolve, reject);
      return () => over.abort();
    });
  }

  async #tryUntilDone(request: ApiRequest, over: AbortSignal): Promise<DispatchResult> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#tryOnce(request, over);
      } catch (error) {
        const pause = pauseAfter(error);
        if (pause === undefined || tries >= this.#retries || over.aborted) throw error;
        // Spread, so that all who were refused do not return in step.
        await sleep(pause + backoff(tries, RETRY_DELAY_MS, RETRY_DELAY_MAX_MS, Math.random()), over);
      }
    }
  }

  async #tryOnce({ url, body, name }: ApiRequest, over: AbortSignal): Promise<DispatchResult> {
    const headers = {
      authorization: `Bearer ${this.#key}`,
      "content-type": "application/json",
      "idempotency-key": name,
    };
    const { response, said } = await within<Answer>(TRY_MS, { signal: over }, "answer", (resolve, reject) => {
      const abort = new AbortController();
      const asked = fetch(url, { method: "POST", headers, body, redirect: "error", signal: abort.signal });
      asked.then(read).then(resolve, reject);
      return () => abort.abort();
    }).catch((cause: unknown) => {
      if (cause instanceof TimeoutError || cause instanceof AbortedError) throw cause;
      throw new ConnectError(`no answer from ${url.host}`, { cause, closeCode: 1006, reason: "" });
    });
    if (!response.ok || !isObject(said)) throw refusal(response, said);
    const { sockets_here, inboxes, displaced, degraded } = said as DispatchResult & { readonly sockets_here?: number };
    return { inboxes, displaced, socketsHere: sockets_here, degraded };
  }
}

interface ApiRequest {
  readonly url: URL;
  readonly body: string;
  /** Its idempotency key. */
  readonly name: string;
}

interface Answer {
  readonly response: Response;
  /** Undefined if it is no JSON. */
  readonly said: unknown;
}

async function read(response: Response): Promise<Answer> {
  const text = await response.text();
  try {
    return { response, said: JSON.parse(text) };
  } catch {
    return { response, said: undefined };
  }
}

function refusal({ status, headers }: Response, said: unknown): ApiError {
  const { code, error } = isObject(said) ? said : {};
  const retryAfterMs = Number(headers.get("retry-after")) * 1000 || 0;
  const text = typeof error === "string" ? error : `the answer was ${status}`;
  return new ApiError(typeof code === "string" ? code : "unexpected", text, status, retryAfterMs);
}

/** How long to wait at least before the next try; undefined if that would fail as well. */
function pauseAfter(error: unknown): number | undefined {
  if (error instanceof ApiError) return PASSING.includes(error.status) ? error.retryAfterMs : undefined;
  return error instanceof ConnectError || error instanceof TimeoutError ? 0 : undefined;
}

function sleep(ms: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = after(ms, resolve);
    over.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
