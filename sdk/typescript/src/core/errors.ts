/**
 * The errors that this package throws, rejects with or reports.
 *
 * Each kind is a class with a stable `code`; `name` is the name of the class, also in minified bundles. The
 * underlying error is `cause`. A message says what happened and, if the caller can mend it, how.
 */

/** The base class of all errors of this package. */
export abstract class SwitchboardError extends Error {
  /** Identifies the kind of error; never changes. */
  abstract readonly code: string;

  /** The name of the class, also in minified bundles. */
  override get name(): string {
    return "SwitchboardError";
  }

  /** Without a `cause`, the error has no such property. */
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** How a connection closed. */
export interface CloseInfo {
  /** The close code; 1006 if no close frame arrived, for example because the server rejected the upgrade. */
  readonly closeCode: number;
  /** The reason of the close frame, or a description of the failure; may be empty. */
  readonly reason: string;
}

/** The close code if no close frame arrived: disconnected, silent or never open. */
export const NO_CLOSE_FRAME = 1006;

const NO_CLOSE_INFO: CloseInfo = { closeCode: NO_CLOSE_FRAME, reason: "" };

/** An error about a closed connection. */
abstract class CloseError extends SwitchboardError implements CloseInfo {
  /** The close code; 1006 if no close frame arrived. */
  readonly closeCode: number;
  /** The reason of the close frame; may be empty. */
  readonly reason: string;

  /** Takes how the connection closed. */
  constructor(message: string, { closeCode, reason }: CloseInfo = NO_CLOSE_INFO, cause?: unknown) {
    super(message, cause);
    this.closeCode = closeCode;
    this.reason = reason;
  }
}

/** An address, option or argument is invalid. Correct it and call again. */
export class BadOptionError extends SwitchboardError {
  readonly code = "bad_option";
  override get name(): string {
    return "BadOptionError";
  }
}

/** The connection could not be opened, or the HTTP API did not answer. Check the address, try later. */
export class ConnectFailedError extends CloseError {
  readonly code = "connect_failed";
  override get name(): string {
    return "ConnectFailedError";
  }
}

/** The server refused a token. Get a new one. */
export class AuthenticationFailedError extends CloseError {
  readonly code = "authentication_failed";
  override get name(): string {
    return "AuthenticationFailedError";
  }
}

/** `getToken` threw or rejected; see `cause`. */
export class TokenFailedError extends SwitchboardError {
  readonly code = "token_failed";
  override get name(): string {
    return "TokenFailedError";
  }
}

/** There is no connection, and the message was not queued. Connect first. */
export class NotConnectedError extends SwitchboardError {
  readonly code = "not_connected";
  override get name(): string {
    return "NotConnectedError";
  }
}

/** The connection closed before the reply arrived. The server may have handled the request. */
export class DisconnectedError extends CloseError {
  readonly code = "disconnected";
  override get name(): string {
    return "DisconnectedError";
  }
}

/** The result did not arrive in time. Raise `timeout` or try again. */
export class TimeoutError extends SwitchboardError {
  readonly code = "timeout";
  override get name(): string {
    return "TimeoutError";
  }
}

/** The caller's signal aborted the call; its reason is `cause`. */
export class AbortedError extends SwitchboardError {
  readonly code = "aborted";
  override get name(): string {
    return "AbortedError";
  }
}

/** The offline queue is full; the message was not queued. Send it after the reconnect, or raise `queueBytesMax`. */
export class QueueFullError extends SwitchboardError {
  readonly code = "queue_full";
  override get name(): string {
    return "QueueFullError";
  }
}

/** The message exceeds the size limit and was not sent. Split it. */
export class TooLargeError extends SwitchboardError {
  readonly code = "too_large";
  override get name(): string {
    return "TooLargeError";
  }
}

/** JSON cannot represent the data, or the event name is invalid; nothing was sent. */
export class BadDataError extends SwitchboardError {
  readonly code = "bad_data";
  override get name(): string {
    return "BadDataError";
  }
}

/** The server sent a frame that the protocol does not allow; it was ignored. */
export class BadFrameError extends SwitchboardError {
  readonly code = "bad_frame";
  /** The frame as received. */
  readonly frame: unknown;
  override get name(): string {
    return "BadFrameError";
  }

  /** Takes the frame. */
  constructor(message: string, frame: unknown, cause?: unknown) {
    super(message, cause);
    this.frame = frame;
  }
}

/** A listener or handler of the application threw; the other listeners were called. */
export class ListenerFailedError extends SwitchboardError {
  readonly code = "listener_failed";
  /** The event, or the name of the option. */
  readonly event: string;
  override get name(): string {
    return "ListenerFailedError";
  }

  /** Takes the event and the thrown value. */
  constructor(message: string, event: string, cause?: unknown) {
    super(message, cause);
    this.event = event;
  }
}

/** The message of a thrown value, which may be anything. */
export function messageOf(thrown: unknown): string {
  const { message } = Object(thrown) as { message?: unknown };
  return typeof message === "string" && message ? message : String(thrown);
}
