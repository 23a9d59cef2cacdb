/**
 * The options that every connection has, with units and defaults.
 */

import { BOOLEAN, BYTES, checkOptions, COUNT, FUNCTION, MILLISECONDS, type Expectations } from "./check.js";

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
  /** The subprotocol that the server has selected. */
  readonly protocol?: string;
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
  new (url: string, subprotocols?: string[]): WebSocketLike;
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

const EXPECTATIONS: Expectations<ConnectionOptions> = {
  reconnect: BOOLEAN,
  reconnectDelay: MILLISECONDS,
  maxReconnectDelay: MILLISECONDS,
  maxRetries: COUNT,
  connectTimeout: MILLISECONDS,
  closeTimeout: MILLISECONDS,
  watchdogInterval: MILLISECONDS,
  watchdogTimeout: MILLISECONDS,
  queueBytesMax: BYTES,
  getToken: FUNCTION,
  shouldReconnect: FUNCTION,
  WebSocket: FUNCTION,
};

/** The expectations for the options that a client has in addition. */
export type OwnExpectations<Options> = Expectations<Omit<Options, keyof ConnectionOptions>>;

/**
 * Merges options over the defaults; later ones override earlier ones, and undefined and null count as absent.
 * Throws `BadOptionError` for an unknown option and for an invalid value.
 */
export function resolveOptions<T extends object>(own: OwnExpectations<T>, ...options: readonly T[]): ResolvedOptions & T {
  const expectations: Expectations<object> = { ...EXPECTATIONS, ...own };
  for (const each of options) checkOptions<object>(each, expectations);
  const given = options.flatMap((each) => Object.entries(each ?? {})).filter(([, value]) => value !== undefined && value !== null);
  return { ...DEFAULTS, ...(Object.fromEntries(given) as T) };
}
