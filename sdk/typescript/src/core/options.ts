/**
 * The options that every connection has, with units and defaults.
 */

import { check, checkOptions, type Examples } from "./check.js";
import { BadOptionError } from "./errors.js";

/** Why `getToken` is called: for the first connection, a reconnect, or a token that is about to expire. */
export type TokenReason = "connect" | "reconnect" | "expiring";

/** Returns a token. If it throws or rejects, that connection attempt fails with `TokenFailedError`. */
export type GetToken = (context: {
  readonly reason: TokenReason;
  /** Aborted when the token is no longer needed. */
  readonly signal: AbortSignal;
}) => string | Promise<string>;

/** The part of the WebSocket API that this package uses. Browsers, Node 22, Deno, Bun and `ws` implement it. */
export interface WebSocketLike {
  /** 1 while it can send. */
  readonly readyState: number;
  /** Set by this package. */
  onopen: ((event: never) => void) | null;
  /** Set by this package. */
  onmessage: ((event: never) => void) | null;
  /** Set by this package. */
  onclose: ((event: never) => void) | null;
  /** Set by this package. */
  onerror: ((event: never) => void) | null;
  /** Sends a text message. */
  send(text: string): void;
  /** Starts the closing handshake. */
  close(code?: number, reason?: string): void;
  /** Ends the connection at once; called if the closing handshake takes too long. `ws` and Bun have it. */
  terminate?(): void;
}

/** A WebSocket class. */
export interface WebSocketClass {
  /** Connects. Throws if the address is invalid. */
  new (url: string): WebSocketLike;
}

/** The options of every client. Times are in milliseconds, and `Infinity` is no limit. */
export interface ConnectionOptions {
  /** Whether to reconnect after a close whose code allows it. */
  readonly reconnect?: boolean | undefined;
  /** The longest delay before the first reconnect attempt, in ms; it doubles with each attempt. Default 500. */
  readonly reconnectDelay?: number | undefined;
  /** The longest delay before any attempt, in ms. Default 20,000, also after close code 1008 if it is Infinity. */
  readonly maxReconnectDelay?: number | undefined;
  /** Failed attempts in a row before the client closes; attempts while the browser is offline do not count. */
  readonly maxRetries?: number | undefined;
  /** The time limit of one attempt, in ms. Default 10,000; 0 is no limit. */
  readonly connectTimeout?: number | undefined;
  /** How long `close` waits for the server's close frame, in ms. Default 5,000; 0 is no limit. */
  readonly closeTimeout?: number | undefined;
  /** Silence after which the client probes the server, in ms. Default 25,000; 0 is never. */
  readonly watchdogInterval?: number | undefined;
  /** How long the answer to a probe may take, in ms; then the connection counts as lost. Default 5,000; 0 is no limit. */
  readonly watchdogTimeout?: number | undefined;
  /** The size of the queue for messages sent while disconnected, in bytes. Default 262,144; 0 disables it. */
  readonly queueBytesMax?: number | undefined;
  /** Called before every connection attempt. */
  readonly getToken?: GetToken | undefined;
  /** Decides whether to reconnect; `undefined` leaves it to the table of close codes. */
  readonly shouldReconnect?: ((code: number, reason: string) => boolean | undefined) | undefined;
  /** The WebSocket class. Default: the global one. Node 20 has none; pass `WebSocket` of the package `ws`. */
  readonly WebSocket?: WebSocketClass | undefined;
}

type Settings = {
  readonly [Name in keyof ConnectionOptions]-?: Exclude<ConnectionOptions[Name], undefined>;
};

/** The options with their defaults filled in. */
export type ResolvedOptions = Omit<Settings, "getToken" | "shouldReconnect" | "WebSocket"> & ConnectionOptions;

const DEFAULTS = {
  reconnect: true,
  reconnectDelay: 500,
  maxReconnectDelay: 20_000,
  maxRetries: Infinity,
  connectTimeout: 10_000,
  closeTimeout: 5_000,
  watchdogInterval: 25_000,
  watchdogTimeout: 5_000,
  queueBytesMax: 262_144,
};

/** Examples of the options that a client has in addition. */
export type OwnExamples<Options> = Examples<Omit<Options, keyof ConnectionOptions>>;

/**
 * Merges options over the defaults; later ones override earlier ones, and undefined and null count as absent.
 * Throws `BadOptionError` for an unknown option and for a value of another type.
 */
export function resolveOptions<T extends object>(own: OwnExamples<T>, ...options: readonly T[]): ResolvedOptions & T {
  const given = options.flatMap((each) => Object.entries(each ?? {})).filter(([, value]) => value != null);
  const merged = Object.fromEntries(given) as T;
  checkOptions<object>(merged, { ...DEFAULTS, getToken: check, shouldReconnect: check, WebSocket: check, ...own });
  return { ...DEFAULTS, ...merged };
}

/** Turns an address with `ws`, `wss`, `http` or `https`, or one relative to the page, into a WebSocket URL. */
export function webSocketUrl(url: string | URL): URL {
  try {
    const parsed = new URL(url, globalThis.location?.href);
    parsed.protocol = parsed.protocol.replace("http", "ws");
    // The WebSocket constructor rejects a fragment.
    parsed.hash = "";
    if (/^wss?:$/.test(parsed.protocol)) return parsed;
  } catch {
    // Reported below.
  }
  throw new BadOptionError(`${url} is not a WebSocket address; use ws:// or wss://`);
}
