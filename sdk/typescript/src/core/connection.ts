/**
 * A connection as its users see it: states, options of `open`, and the part that depends on the wire protocol.
 */

import { BOOLEAN, MILLISECONDS, SIGNAL, type Expectations } from "./check.js";
import type { DisconnectedError, NotConnectedError, SwitchboardError } from "./errors.js";
import type { JsonObject } from "./json.js";
import type { Listeners } from "./listeners.js";
import type { moveAfter } from "./move.js";
import type { ResolvedOptions, TokenReason } from "./options.js";
import type { CallOptions } from "./timeout.js";

/** The states of a connection. `closed` is final until `open` is called again. */
export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** A transition of the state machine. A failed reconnect attempt goes from `reconnecting` to itself. */
export interface StateChange {
  /** The new state. */
  readonly state: ConnectionState;
  /** The old state. */
  readonly previous: ConnectionState;
  /** The close code; 1006 if no close frame arrived, 0 if the transition is not a close. */
  readonly code: number;
  /** The reason of the close frame, or a description of the failure. */
  readonly reason: string;
  /** Whether the client will reconnect by itself. */
  readonly willReconnect: boolean;
  /** Failed attempts since the last message from the server. */
  readonly attempt: number;
  /** Milliseconds until the next attempt. */
  readonly delay: number;
  /** Whether the server has kept the session: the socket has its id, rooms, tags and user again. */
  readonly resumed: boolean;
  /** The failure; undefined after the close of an open connection. */
  readonly error?: SwitchboardError | undefined;
}

export interface OpenOptions extends CallOptions {
  /** Keeps trying if the first attempt fails. Default false: the promise rejects. */
  readonly retry?: boolean | undefined;
}

/** The expectations for the options of `open`. */
export const OPEN_OPTIONS: Expectations<OpenOptions> = { signal: SIGNAL, timeout: MILLISECONDS, retry: BOOLEAN };

/** The part of a connection that depends on the wire protocol. */
export interface Protocol {
  /** Its name in messages, and that of the client's method that opens a connection. */
  readonly name: string;
  readonly openMethod: string;
  /** Returns the address to connect to. */
  url(token: string | undefined): URL;
  /** Returns the subprotocols to offer; `isMoving` while another connection is open. */
  subprotocols?(isMoving?: boolean): string[] | undefined;
  /** Moves to another node, in protocols whose servers announce that they go away. */
  readonly moveAfter?: typeof moveAfter;
  /** Whether replies are awaited that only the current connection can bring. */
  isBusy?(): boolean;
  /** Resolves when the server has handled what was sent before the call. */
  handled?(): Promise<unknown>;
  /**
   * The socket is open, with the subprotocol that the server has selected. The protocol calls `ready` here or when a
   * later message completes its handshake.
   */
  opened?(subprotocol: string | undefined): void;
  /** Handles a message. Returns false, or throws, if the protocol does not allow it. */
  received(message: JsonObject): boolean | void;
  /** The connection closed or changed state; called before any listener. `isFinal`: the client does not reconnect. */
  lost(error: DisconnectedError, isFinal: boolean): void;
  /** A message that the server answers. */
  readonly probe: string;
  /** If the server speaks first: the name of its message, and a probe that servers of other protocols answer. */
  readonly hello?: { readonly name: string; readonly probe: string };
  /** Returns the latest value of an event that describes a state; late listeners are called with it. */
  latest?(event: string): unknown;
  /** The prefix of the client's own events. No event from a server may have it. */
  readonly prefix: string;
}

/** A connection, as protocols and observers of its state use it. */
export interface Connection<Options = object> {
  /** May be replaced; takes effect at the next attempt. */
  options: ResolvedOptions & Options;
  /** The listeners of all events. */
  readonly listeners: Listeners;
  /** The current state. */
  readonly state: ConnectionState;
  /** Aborted when the current connection, or the attempt under way, ends. */
  readonly signal: AbortSignal | undefined;
  /** Calls `listener` at every transition; returns a function that removes it. */
  onChange(listener: (change: StateChange) => void): () => void;
  /** Resolves once connected. Rejects if the connection fails or the time runs out. */
  open(options?: OpenOptions): Promise<void>;
  /**
   * Closes with code 1000 and does not reconnect. Resolves when the server has answered; drops the connection after
   * `closeTimeout`. Throws `BadOptionError` for an invalid option.
   */
  close(options?: CallOptions): Promise<void>;
  /** The handshake is complete. Sends `handshake` first, then calls the listeners of `event` with `data`. */
  ready(event: string, data: unknown, handshake: readonly string[], resumed?: boolean): void;
  /**
   * Sends a message, or queues it while disconnected. Returns false if it is volatile and there is no
   * connection. Throws if the connection is closed or the queue is full; queued messages stay.
   */
  send(message: string, volatile?: boolean): boolean;
  /** Whether a message waits to be sent. */
  isQueued(message: string): boolean;
  /** Handles the server's notice that it goes away: the client moves to another node in its time slot. */
  goAway(notice: JsonObject): void;
  /** The error for a call that needs a connection; says why there is none. */
  notConnected(): NotConnectedError;
  /** Calls `getToken`, if there is one, during an attempt or a connection. Rejects with `TokenFailedError` if it fails. */
  token(reason: TokenReason): Promise<string | undefined>;
}
