/**
 * The errors that this package throws, rejects with or reports.
 *
 * Each kind is a class with a stable `code`, and its `name` is the code in Pascal case: `queue_full` is
 * `QueueFullError`. The underlying error is `cause`. One function makes the classes, which keeps bundles small.
 */

/** The base class of all errors of this package. */
export class SwitchboardError extends Error {
  /** Identifies the kind of error; never changes. */
  declare readonly code: string;

  /** `properties` become properties of the error. */
  constructor(message: string, properties: { readonly name: string; readonly code: string; readonly cause?: unknown }) {
    super(message);
    Object.assign(this, properties);
  }
}

/** A class of errors with the properties `Properties`. */
export interface ErrorClass<Properties extends object = object> {
  new (message: string, properties?: Partial<Properties> & { readonly cause?: unknown }): SwitchboardError &
    Readonly<Properties>;
  /** Makes `instanceof` narrow the type. */
  readonly prototype: SwitchboardError & Readonly<Properties>;
}

/** How a connection closed. */
export interface CloseInfo {
  /** The close code; 1006 if no close frame arrived, for example because the server rejected the upgrade. */
  readonly closeCode: number;
  /** The reason of the close frame, or a description of the failure; may be empty. */
  readonly reason: string;
}

/** Makes the class of the errors with this code. */
export function errorClass<Properties extends object = object>(code: string): ErrorClass<Properties> {
  const name = code.replace(/(^|_)./g, (start) => (start.at(-1) as string).toUpperCase()) + "Error";
  return class extends SwitchboardError {
    constructor(message: string, properties?: object) {
      super(message, { name, code, ...properties });
    }
  } as unknown as ErrorClass<Properties>;
}

/** Makes the error for a closed connection. */
export function closeError(Kind: ErrorClass<CloseInfo>, closeCode: number, reason: string): SwitchboardError & CloseInfo {
  return new Kind(`closed: ${reason || closeCode}`, { closeCode, reason });
}

/** An option is invalid, for example an address. Correct it and call again. Code `bad_option`. */
export const BadOptionError = /* @__PURE__ */ errorClass("bad_option");
export type BadOptionError = InstanceType<typeof BadOptionError>;

/** The connection could not be opened, or the HTTP API did not answer. Check the address, try later. Code `connect_failed`. */
export const ConnectFailedError = /* @__PURE__ */ errorClass<CloseInfo>("connect_failed");
export type ConnectFailedError = InstanceType<typeof ConnectFailedError>;

/** `getToken` threw or rejected; see `cause`. Code `token_failed`. */
export const TokenFailedError = /* @__PURE__ */ errorClass("token_failed");
export type TokenFailedError = InstanceType<typeof TokenFailedError>;

/** There is no connection, and the message was not queued. Connect first. Code `not_connected`. */
export const NotConnectedError = /* @__PURE__ */ errorClass("not_connected");
export type NotConnectedError = InstanceType<typeof NotConnectedError>;

/** The connection closed before the reply arrived. The server may have handled the request. Code `disconnected`. */
export const DisconnectedError = /* @__PURE__ */ errorClass<CloseInfo>("disconnected");
export type DisconnectedError = InstanceType<typeof DisconnectedError>;

/** The result did not arrive in time. Raise `timeout` or try again. Code `timeout`. */
export const TimeoutError = /* @__PURE__ */ errorClass("timeout");
export type TimeoutError = InstanceType<typeof TimeoutError>;

/** The caller's signal aborted the call; its reason is `cause`. Code `aborted`. */
export const AbortedError = /* @__PURE__ */ errorClass("aborted");
export type AbortedError = InstanceType<typeof AbortedError>;

/** The offline queue is full; the message was not queued. Send it after the reconnect, or raise `queueBytesMax`. Code `queue_full`. */
export const QueueFullError = /* @__PURE__ */ errorClass("queue_full");
export type QueueFullError = InstanceType<typeof QueueFullError>;

/** The message exceeds the size limit and was not sent. Split it. Code `too_large`. */
export const TooLargeError = /* @__PURE__ */ errorClass("too_large");
export type TooLargeError = InstanceType<typeof TooLargeError>;

/** JSON cannot represent the data, or the event name is invalid; nothing was sent. Code `bad_data`. */
export const BadDataError = /* @__PURE__ */ errorClass("bad_data");
export type BadDataError = InstanceType<typeof BadDataError>;

/** The server sent a frame that the protocol does not allow; it was ignored. Code `bad_frame`. */
export const BadFrameError = /* @__PURE__ */ errorClass<{
  /** The frame as received. */
  frame: unknown;
}>("bad_frame");
export type BadFrameError = InstanceType<typeof BadFrameError>;

/** A listener or handler of the application threw; the other listeners were called. Code `listener_failed`. */
export const ListenerFailedError = /* @__PURE__ */ errorClass<{
  /** The event, or the name of the option. */
  event: string;
}>("listener_failed");
export type ListenerFailedError = InstanceType<typeof ListenerFailedError>;
