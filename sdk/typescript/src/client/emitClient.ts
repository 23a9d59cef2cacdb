/**
 * What a program holds: a client, and its namespaces, with the types of the application's contract.
 */

import type { Connection, ConnectionState, OpenOptions, StateChange } from "../core/connection.js";
import type { CallOptions } from "../core/timeout.js";
import type { SwitchboardError } from "../core/errors.js";
import type { Listener } from "../core/listeners.js";
import type {
  AnyName,
  Arguments,
  Contract,
  ContractOf,
  ContractUnder,
  DataOf,
  Names,
  RequestDataOf,
  ReplyOf,
  Schemas,
  UntypedContract,
} from "./contract.js";
import { EmitProtocol, type Handler } from "./emitProtocol.js";
import type { EmitClientOptions } from "./options.js";

/** How an event is sent. */
export interface EmitOptions {
  /** Rather nothing than late: without a connection the event is dropped. Default false. */
  readonly volatile?: boolean | undefined;
}

/** What happens on this side; none of it is ever a message. */
export interface SystemEvents {
  /** A connection is open. The first one is before `connect` resolves. */
  "@connection": Record<string, never>;
  /** A later connection is open: the server has forgotten rooms and names; join again. */
  "@reconnect": {
    /** Tries it took. */
    readonly attempt: number;
  };
  /** A connection that was open is gone. */
  "@disconnect": StateChange;
  /** Every step of the state machine. */
  "@state": StateChange;
  /** A bad frame, a failed try, a listener that threw: what nobody waits for. */
  "@error": SwitchboardError;
  /** Before the listeners of every event. */
  "@any": {
    /** Its name. */
    readonly event: string;
    /** What came with it, before any schema. */
    readonly data: unknown;
  };
}

/** Events under a prefix. */
export class Namespace<C extends Contract = UntypedContract> {
  readonly #protocol: EmitProtocol;
  readonly #prefix: string;

  /** @internal */
  constructor(protocol: EmitProtocol, prefix: string) {
    this.#protocol = protocol;
    this.#prefix = prefix;
  }

  /**
   * Sends an event, now or when there is a connection again. False if it was volatile and dropped.
   *
   * Throws if it cannot be sent: `NotConnectedError`, `QueueFullError`, `TooLargeError`,
   * `EncodeError`, `ValidationError`.
   */
  emit<N extends Names<C, "emits">>(event: N, ...rest: Arguments<DataOf<C, "emits", N>, EmitOptions>): boolean;
  emit(event: AnyName<C>, data?: unknown, options?: EmitOptions): boolean;
  emit(event: string, data?: unknown, options?: EmitOptions): boolean {
    return this.#protocol.emit(this.#prefix + event, data, options?.volatile);
  }

  /**
   * Sends an event and waits for the reply. Rejects with `NotConnectedError` at once where there is
   * no connection, `DisconnectedError` when it goes, `TimeoutError`, `RefusedError`,
   * `AbortedError`, and with what `emit` throws.
   */
  request<N extends Names<C, "requests">>(
    event: N,
    ...rest: Arguments<RequestDataOf<C, "requests", N>, CallOptions>
  ): Promise<ReplyOf<C, "requests", N>>;
  request<Reply = unknown>(event: AnyName<C>, data?: unknown, options?: CallOptions): Promise<Reply>;
  request(event: string, data?: unknown, options?: CallOptions): Promise<unknown> {
    return this.#protocol.request(this.#prefix + event, data, options);
  }

  /** Calls `listener` for every event of that name. Returns its own undo. */
  on<N extends keyof SystemEvents>(event: N, listener: (data: SystemEvents[N]) => unknown): () => void;
  on<N extends Names<C, "events">>(event: N, listener: (data: DataOf<C, "events", N>) => unknown): () => void;
  on<Data = unknown>(event: AnyName<C>, listener: (data: Data) => unknown): () => void;
  on(event: string, listener: Listener): () => void {
    return this.#protocol.connection.listeners.add(this.#name(event), listener);
  }

  /** Takes away a listener, or all listeners of an event. */
  off(event: Names<C, "events"> | AnyName<C> | keyof SystemEvents, listener?: Listener): void {
    const { listeners } = this.#protocol.connection;
    listeners.keep(this.#name(event), (entry) => !!listener && entry.listener !== listener);
  }

  /**
   * Answers the server's requests of that name, in place of who did before. A handler that throws
   * gives no answer, and the server runs into its time-out. Returns its own undo.
   */
  handle<N extends Names<C, "serverRequests">>(
    event: N,
    handler: (
      data: RequestDataOf<C, "serverRequests", N>,
    ) => ReplyOf<C, "serverRequests", N> | Promise<ReplyOf<C, "serverRequests", N>>,
  ): () => void;
  handle<Data = unknown>(event: AnyName<C>, handler: (data: Data) => unknown): () => void;
  handle(event: string, handler: Handler): () => void {
    const { handlers } = this.#protocol;
    const name = this.#name(event);
    handlers.set(name, handler);
    return () => {
      if (handlers.get(name) === handler) handlers.delete(name);
    };
  }

  /** A namespace in this one. */
  ns<Prefix extends string>(prefix: Prefix): Namespace<ContractUnder<C, Prefix>> {
    return new Namespace(this.#protocol, this.#prefix + prefix);
  }

  /** System events are the client's, in every namespace. */
  #name(event: string): string {
    return event.startsWith("@") ? event : this.#prefix + event;
  }
}

/** A connection to a server that speaks emit. */
export class EmitClient<C extends Contract = UntypedContract> extends Namespace<C> {
  /** The state machine, for those who want to watch it. */
  readonly connection: Connection;
  readonly #values = new Map<unknown, unknown>();

  /** A client that is not connected yet; `open` does that. */
  constructor(url: string | URL, options: EmitClientOptions = {}) {
    const protocol = new EmitProtocol(url, options);
    super(protocol, "");
    this.connection = protocol.connection;
  }

  /** Connects. Rejects if the first connection does not open; only later ones are tried again. */
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
    options?: EmitClientOptions & OpenOptions,
  ): Promise<EmitClient<C>> {
    const client = new EmitClient<C>(url, options);
    await client.open(options);
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

  /** Connects, or waits for the connection under way. */
  open(options?: OpenOptions): Promise<void> {
    return this.connection.open(options);
  }

  /** Disconnects for good, behind what was sent. Never rejects; `open` connects again. */
  close(options?: CallOptions): Promise<void> {
    return this.connection.close(options);
  }

  /** Keeps a value with this client, on this side. */
  set(key: unknown, value: unknown): void {
    this.#values.set(key, value);
  }

  /** The value that was set, or undefined. */
  get<Value = unknown>(key: unknown): Value | undefined {
    return this.#values.get(key) as Value | undefined;
  }
}

/** {@link EmitClient.connect} as a function. */
export const connect: typeof EmitClient.connect = (url: string | URL, options?: EmitClientOptions & OpenOptions) =>
  EmitClient.connect<never>(url, options);
