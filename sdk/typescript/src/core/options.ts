/**
 * The options every connection has, each with its unit and default.
 */

import { OptionError } from "./errors.js";

/** Why a token is asked for: a first connection, a later one, or the last token is about to end. */
export type TokenReason = "connect" | "reconnect" | "expiring";

/** Gives a token; what it throws fails that try to connect. */
export type GetToken = (context: {
  readonly reason: TokenReason;
  /** Aborted when nobody waits for the token any more. */
  readonly signal: AbortSignal;
}) => string | Promise<string>;

/** What this package needs of a WebSocket; that of browsers, Node 22, Deno, Bun and `ws` has it. */
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
  /** Begins to close. */
  close(code?: number, reason?: string): void;
}

/** A class of WebSockets. */
export interface WebSocketClass {
  /** Connects. Throws if the address is none. */
  new (url: string): WebSocketLike;
}

/** What every connection can be told. Times are in milliseconds. */
export interface ConnectionOptions {
  /** Whether to connect again after a close whose code does not forbid it. */
  readonly reconnect?: boolean | undefined;
  /** The longest wait before the first try, in ms; it doubles with each. Default 500. */
  readonly reconnectDelay?: number | undefined;
  /** The longest wait before any try, in ms. Default 20,000. */
  readonly maxReconnectDelay?: number | undefined;
  /** Tries in a row before it gives up; those made while the browser is offline do not count. */
  readonly maxRetries?: number | undefined;
  /** How long a try may take, in ms. Default 10,000; 0 is no limit. */
  readonly connectTimeout?: number | undefined;
  /** How long a close waits for the server's answer, in ms. Default 5,000. */
  readonly closeTimeout?: number | undefined;
  /** Silence after which the server is asked for a sign of life, in ms. Default 25,000; 0 is never. */
  readonly watchdogInterval?: number | undefined;
  /** How long that sign may take, in ms; then the connection counts as lost. Default 5,000. */
  readonly watchdogTimeout?: number | undefined;
  /** Bytes that are kept while there is no connection. Default 262,144; 0 keeps nothing. */
  readonly queueBytesMax?: number | undefined;
  /** Asked before every try to connect. */
  readonly getToken?: GetToken | undefined;
  /** Decides in place of the table of close codes; `undefined` leaves it to the table. */
  readonly shouldReconnect?: ((code: number, reason: string) => boolean | undefined) | undefined;
  /** Default: the one of the platform. Node 20 has none: pass that of the package `ws`. */
  readonly WebSocket?: WebSocketClass | undefined;
}

type Settings = {
  readonly [Name in keyof ConnectionOptions]-?: Exclude<ConnectionOptions[Name], undefined>;
};

/** The options with their defaults in place; an `undefined` counts as left out. */
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

/** Later options count over earlier ones. Those of the dialect come along. */
export function resolve<T extends object>(...options: readonly T[]): ResolvedOptions & T {
  const given = options.flatMap(Object.entries).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...(Object.fromEntries(given) as T) };
}

/** A WebSocket address from one with `ws`, `wss`, `http` or `https`, or one relative to the page. */
export function address(url: string | URL): URL {
  try {
    const parsed = new URL(url, globalThis.location?.href);
    parsed.protocol = parsed.protocol.replace("http", "ws");
    // A WebSocket refuses addresses that have one.
    parsed.hash = "";
    if (parsed.protocol.startsWith("ws")) return parsed;
  } catch {
    // It is no address of any other kind either.
  }
  throw new OptionError(`${url} is no WebSocket address`);
}
