/**
 * The public API: a client and its namespaces, with the types of the application's contract.
 */

import { BOOLEAN, check, checkOptions, STRING, type Expectations } from "../core/check.js";
import type { Connection, ConnectionState, OpenOptions, StateChange } from "../core/connection.js";
import type { SwitchboardError } from "../core/errors.js";
import type { Listener } from "../core/listeners.js";
import type { RefusedEvent } from "../core/refusedError.js";
import type { Gap, Joined, Position, Recovery } from "../core/session.js";
import type { CallOptions } from "../core/timeout.js";
import type { Known, Unchecked } from "../core/unchecked.js";
import type {
  AnyArguments,
  Arguments,
  Contract,
  ContractOf,
  ContractUnder,
  DataOf,
  Names,
  ReplyOf,
  RequestDataOf,
  RequestMethod,
  UntypedContract,
} from "./contract.js";
import { EmitProtocol, type Handler } from "./emitProtocol.js";
import type { HistoryOptions, RoomHistory } from "../core/history.js";
import type { EmitClientOptions } from "./options.js";
import type { RequestOptions } from "./requestOptions.js";
import type { Schemas } from "./schema.js";

/** Options of `emit`. */
export interface EmitOptions {
  /** Drops the event while disconnected instead of queueing it. Default false. */
  readonly volatile?: boolean | undefined;
}

const EMIT_OPTIONS: Expectations<EmitOptions> = { volatile: BOOLEAN };

/** Events that the client raises itself; none is sent or received. */
export interface SystemEvents {
  /** The client has connected. For the first connection, listeners run before `connect` resolves. */
  "@connection": {
    /** Whether the server has kept the session: the socket has its id, rooms, tags and user again. */
    readonly resumed: boolean;
  };
  /** The client has reconnected. Unless the session was resumed, the socket is in no room; join again. */
  "@reconnect": {
    /** The number of attempts. */
    readonly attempt: number;
    /** Whether the server has kept the session. */
    readonly resumed: boolean;
  };
  /**
   * The client has received what it missed before its session was resumed; raised once, after the missed messages. Rooms
   * without a history are not recovered.
   */
  "@recovered": Recovery;
  /** The socket has joined a room that keeps messages; raised when the position is known. */
  "@joined": Joined;
  /** Messages are lost: the client read too slowly, or the history of a room no longer has them. */
  "@gap": Gap;
  /** The socket has left rooms and tags, because it has lost the right to be there. */
  "@left": {
    /** The rooms, with `#`. */
    readonly rooms: readonly string[];
    /** The tags, with `*`. */
    readonly tags: readonly string[];
    /** `expired`, `replaced` or `rule`. */
    readonly reason: string;
  };
  /** The server has refused an event without a reply. Without a listener the console shows it. */
  "@refused": RefusedEvent;
  /** The connection has closed. */
  "@disconnect": StateChange;
  /** A state transition. */
  "@state": StateChange;
  /** A bad frame, a failed attempt or a failed listener: an error that no promise carries. */
  "@error": SwitchboardError;
  /** An event from the server; raised before the event's own listeners. */
  "@any": {
    /** The name of the event. */
    readonly event: string;
    /** Its data, before validation. */
    readonly data: unknown;
    /** The room that keeps the message. Only with `resume`. */
    readonly room?: string;
    /** The place of the message in the history of that room. */
    readonly position?: Position;
  };
}

/** The data of an event for its listeners. */
type EventData<C extends Contract, N> = N extends keyof SystemEvents ? SystemEvents[N] : DataOf<C, "events", N>;

/** The events whose names begin with a prefix. */
export class Namespace<C extends Contract = UntypedContract> {
  readonly #protocol: EmitProtocol;
  readonly #prefix: string;

  /** @internal */
  constructor(protocol: EmitProtocol, prefix: string) {
    this.#protocol = protocol;
    this.#prefix = prefix;
  }

  /**
   * Sends an event, or queues it while disconnected, unless it is volatile.
   *
   * Throws `NotConnectedError`, `QueueFullError`, `TooLargeError`, `BadDataError`, `InvalidDataError` or
   * `BadOptionError`.
   */
  emit<N extends string>(
    event: Known<N, Names<C, "emits">>,
    ...rest: [N] extends [Names<C, "emits">] ? Arguments<DataOf<C, "emits", N>, EmitOptions> : AnyArguments<EmitOptions>
  ): this;
  emit(event: string, data?: unknown, options?: EmitOptions): this {
    checkOptions(options, EMIT_OPTIONS);
    this.#protocol.emit(this.#prefixed(event), data, options?.volatile);
    return this;
  }

  /**
   * Sends a request and waits for the reply. Rejects with `NotConnectedError` at once if there is no
   * connection, with `RefusedError` if the server refuses it or has no handler for the event, with
   * `DisconnectedError` if the connection closes before the reply and the request is not `idempotent`, with
   * `TimeoutError`, `AbortedError`, and with the errors of `emit`.
   */
  // A property, because its type parameters depend on the contract.
  readonly request = ((event: string, data?: unknown, options?: RequestOptions) =>
    this.#protocol.request(this.#prefixed(event), data, options)) as RequestMethod<C>;

  /** Calls `listener` for every event of that name. `off` removes it. */
  on<N extends Names<C, "events"> | keyof SystemEvents>(event: N, listener: (data: EventData<C, N>) => unknown): this {
    this.#protocol.connection.listeners.add(this.#name(event), listener as Listener);
    return this;
  }

  /** Removes a listener, or all listeners of an event. */
  off(event: Names<C, "events"> | keyof SystemEvents, listener?: Listener): this {
    this.#protocol.connection.listeners.remove(this.#name(event), listener);
    return this;
  }

  /**
   * Answers the server's requests of that name; replaces an earlier handler. If the handler throws, no
   * reply is sent and the server's request times out. Returns a function that removes the handler.
   */
  handle<N extends Names<C, "serverRequests">>(
    event: N,
    handler: (
      data: RequestDataOf<C, "serverRequests", N>,
    ) => ReplyOf<C, "serverRequests", N> | Promise<ReplyOf<C, "serverRequests", N>>,
  ): () => void {
    return this.#protocol.handle(this.#name(event), handler as Handler);
  }

  /** Returns a namespace within this one. */
  ns<Prefix extends string>(prefix: Prefix): Namespace<ContractUnder<C, Prefix>> {
    check("the prefix", prefix, STRING);
    return new Namespace(this.#protocol, this.#prefix + prefix);
  }

  /** The client's own events have no prefix, in every namespace. */
  #name(event: string): string {
    return /^@/.test(event) ? event : this.#prefixed(event);
  }

  /** A name of the wrong type stays as it is, to be rejected by its user. */
  #prefixed(event: string): string {
    return typeof event === "string" ? this.#prefix + event : event;
  }
}

/** A connection to a server that speaks the emit protocol. */
export class EmitClient<C extends Contract = UntypedContract> extends Namespace<C> {
  /** The connection, for observing its state. */
  readonly connection: Connection;
  readonly #protocol: EmitProtocol;
  readonly #values = new Map<unknown, unknown>();

  /** Creates a client without connecting it; `open` connects. */
  constructor(url: string | URL, options: EmitClientOptions = {}) {
    const protocol = new EmitProtocol(url, options);
    super(protocol, "");
    this.#protocol = protocol;
    this.connection = protocol.connection;
  }

  /** Creates a client and connects it. Rejects if the first attempt fails, unless `retry` is set. */
  static connect<const S extends Schemas>(
    url: string | URL,
    options: EmitClientOptions & OpenOptions & { readonly schemas: S },
  ): Promise<EmitClient<ContractOf<S>>>;
  static connect<C extends Contract = UntypedContract>(
    url: string | URL,
    options?: EmitClientOptions & OpenOptions,
  ): Promise<EmitClient<C>>;
  static async connect<C extends Contract>(
    url: string | URL,
    { retry, signal, timeout, ...options }: EmitClientOptions & OpenOptions = {},
  ): Promise<EmitClient<C>> {
    const client = new EmitClient<C>(url, options);
    await client.open({ retry, signal, timeout });
    return client;
  }

  /** `idle`, `connecting`, `connected`, `reconnecting` or `closed`. */
  get state(): ConnectionState {
    return this.connection.state;
  }

  /** Whether `state` is `connected`. */
  get connected(): boolean {
    return this.state === "connected";
  }

  /**
   * The id of the socket at the server, with which others address it. It changes with a new session, and when the session moves to another node. Only
   * with `resume`; undefined before `@connection`.
   */
  get id(): string | undefined {
    return this.#protocol.id;
  }

  /** Connects, or waits for the attempt under way. */
  open(options?: OpenOptions): Promise<void> {
    return this.connection.open(options);
  }

  /** Disconnects without reconnecting, after sent messages. Never rejects; `open` connects again. */
  close(options?: CallOptions): Promise<void> {
    return this.connection.close(options);
  }

  /**
   * Reads messages that a room keeps. The caller may name the type of their data. Rejects like `request`: with a
   * `RefusedError` of the code `no_history` if the room keeps none, and of `forbidden` if this client may not read them.
   */
  history<Data = unknown>(room: string, options?: HistoryOptions): Promise<RoomHistory<Data>> {
    return this.#protocol.history(room, options) as Promise<RoomHistory<Data>>;
  }

  /** Stores a value in this client; nothing is sent. */
  set(key: unknown, value: unknown): this {
    this.#values.set(key, value);
    return this;
  }

  /** Returns the stored value, or undefined. */
  get<Value = Unchecked>(key: unknown): Value | undefined {
    return this.#values.get(key) as Value | undefined;
  }
}

/** {@link EmitClient.connect} as a function. */
export const connect: typeof EmitClient.connect = (url: string | URL, options?: EmitClientOptions & OpenOptions) =>
  EmitClient.connect<never>(url, options);
