/**
 * Everything this package throws, rejects or reports: a class for each, with a `code` that stays.
 *
 * The message is for people; what caused it is `cause`. The classes are made by one function, for a
 * page pays for each byte.
 */

/** What all errors of this package are. */
export class SwitchboardError extends Error {
  /** A stable word to switch on. */
  readonly code: string;

  /** `about` are members of the error, `cause` among them. */
  constructor(code: string, message: string, about?: object) {
    super(message);
    this.code = this.name = code;
    Object.assign(this, about);
  }
}

/** A class of errors; `About` are the members that they have besides. */
export interface ErrorClass<About extends object = object> {
  new (message: string, about?: Partial<About> & { readonly cause?: unknown }): SwitchboardError & Readonly<About>;
  /** What `instanceof` looks for. */
  readonly prototype: SwitchboardError & Readonly<About>;
}

/** A close; the code is 1006 where there was no close frame, as when the server refused. */
export interface CloseInfo {
  /** The close code. */
  readonly closeCode: number;
  /** The close frame's, or what failed; may be empty. */
  readonly reason: string;
}

/** The class of the errors with this code. */
export function errorClass<About extends object = object>(code: string): ErrorClass<About> {
  return class extends SwitchboardError {
    constructor(message: string, about?: object) {
      super(code, message, about);
    }
  } as unknown as ErrorClass<About>;
}

/** What is said of a close. */
export function closed(Kind: ErrorClass<CloseInfo>, closeCode: number, reason: string): SwitchboardError & CloseInfo {
  return new Kind(`closed: ${reason || closeCode}`, { closeCode, reason });
}

/** An option cannot be used, such as an address that is none. Code `bad_option`. */
export const OptionError = /* @__PURE__ */ errorClass("bad_option");
export type OptionError = InstanceType<typeof OptionError>;

/** No connection came to be, or no answer over HTTP. Code `connect_failed`. */
export const ConnectError = /* @__PURE__ */ errorClass<CloseInfo>("connect_failed");
export type ConnectError = InstanceType<typeof ConnectError>;

/** `getToken` failed. Code `token_failed`. */
export const TokenError = /* @__PURE__ */ errorClass("token_failed");
export type TokenError = InstanceType<typeof TokenError>;

/** There is no connection, and nothing that would keep a message for one. Code `not_connected`. */
export const NotConnectedError = /* @__PURE__ */ errorClass("not_connected");
export type NotConnectedError = InstanceType<typeof NotConnectedError>;

/** The connection went before the reply came; the server may have acted. Code `disconnected`. */
export const DisconnectedError = /* @__PURE__ */ errorClass<CloseInfo>("disconnected");
export type DisconnectedError = InstanceType<typeof DisconnectedError>;

/** What was waited for did not come in time. Code `timeout`. */
export const TimeoutError = /* @__PURE__ */ errorClass("timeout");
export type TimeoutError = InstanceType<typeof TimeoutError>;

/** A signal of the caller's said stop; its reason is the cause. Code `aborted`. */
export const AbortedError = /* @__PURE__ */ errorClass("aborted");
export type AbortedError = InstanceType<typeof AbortedError>;

/** The queue for the time without a connection is full; nothing was queued. Code `queue_full`. */
export const QueueFullError = /* @__PURE__ */ errorClass("queue_full");
export type QueueFullError = InstanceType<typeof QueueFullError>;

/** The message is over the limit; nothing was sent. Code `too_large`. */
export const TooLargeError = /* @__PURE__ */ errorClass("too_large");
export type TooLargeError = InstanceType<typeof TooLargeError>;

/** JSON cannot hold the data, or no event can have the name; nothing was sent. Code `bad_data`. */
export const EncodeError = /* @__PURE__ */ errorClass("bad_data");
export type EncodeError = InstanceType<typeof EncodeError>;

/** A frame of the server was not understood, and is passed over. Code `bad_frame`. */
export const ProtocolError = /* @__PURE__ */ errorClass<{
  /** As it came. */
  frame: unknown;
}>("bad_frame");
export type ProtocolError = InstanceType<typeof ProtocolError>;

/** A listener or handler of the program threw; the others were called. Code `listener_failed`. */
export const ListenerError = /* @__PURE__ */ errorClass<{
  /** Which event's, or the name of the option. */
  event: string;
}>("listener_failed");
export type ListenerError = InstanceType<typeof ListenerError>;
