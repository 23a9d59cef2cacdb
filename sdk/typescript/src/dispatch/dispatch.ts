/**
 * Koji's Dispatch: events between the members of a shard, and their list.
 *
 * A server keeps no state of an earlier connection. After each CONNECTED the client therefore sends its
 * identity (token and user info) again, before any queued message.
 */

import { check, checkOptions } from "../core/check.js";
import {
  connection,
  type Connection,
  type ConnectionState,
  type OpenOptions,
  type StateChange,
} from "../core/connection.js";
import { BadDataError, ConnectFailedError, NotConnectedError, type SwitchboardError } from "../core/errors.js";
import { byteLength, checkEventName, checkSize, encode, isObject, type JsonObject } from "../core/json.js";
import type { Listener } from "../core/listeners.js";
import { resolveOptions, type ConnectionOptions, type OwnExamples } from "../core/options.js";
import { CALL_OPTIONS, withTimeout, type CallOptions } from "../core/timeout.js";
import { scheduleTokenRefresh, type AuthorizationOptions } from "../core/tokenRefresh.js";
import {
  CLIENTS_CHANGED,
  CLIENTS_CHANGES,
  CONNECTED,
  DISPATCH_EVENT,
  IDENTIFY,
  PLATFORM,
  SET_USER_INFO,
  type ConnectedClient,
  type ConnectedClients,
  type ConnectionInfo,
  type EventMetadata,
  type ShardInfo,
} from "./events.js";
import { MEMBER_LIST_REQUEST, MemberList } from "./memberList.js";
import { encodeName, kojiUrl } from "./url.js";

/** The longest message, in UTF-16 units; the server silently ignores longer ones. */
const MESSAGE_UNITS_MAX = 128_000;

const USER_INFO_BYTES_MAX = 16_384;

/** Options of a connection. `reconnect` defaults to true, `maxRetries` to no limit. */
export interface DispatchOptions extends ConnectionOptions, AuthorizationOptions {
  /** The shard to join. Default: one with a free seat, assigned by the server. */
  readonly shardName?: string | undefined;
  /** The capacity of a shard that the server creates for this client. Default: the server's, 100 seats. */
  readonly maxConnectionsPerShard?: string | number | undefined;
  /** An option of the original for backends; it has no effect. */
  readonly projectToken?: string | undefined;
}

/** Where a `Dispatch` connects. */
export interface DispatchConfig {
  /** The project. Default: the one shared by all clients that name none. */
  readonly projectId?: string | undefined;
  /** For example `chat.example:3000` or `wss://chat.example/path`. Default: the host of the page. */
  readonly host?: string | undefined;
  /** Options of the connection. */
  readonly options?: DispatchOptions | undefined;
}

/** Options of `emitEvent`. */
export interface EmitEventOptions {
  /** Drops the event while disconnected instead of queueing it. Default false. */
  readonly volatile?: boolean | undefined;
}

/** The payloads of platform events and of this package's own events. */
export interface PlatformEvents {
  /** The server has assigned a client id and a shard. */
  [DISPATCH_EVENT.CONNECTED]: ConnectionInfo;
  /** A member joined, left or changed its user info. */
  [DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED]: {
    /** All members of the shard, by client id. */
    readonly connectedClients: ConnectedClients;
  };
  /** The client has reconnected. */
  [DISPATCH_EVENT.RECONNECTED]: {
    /** The number of attempts. */
    readonly attempt: number;
  };
  /** The connection has closed. */
  [DISPATCH_EVENT.DISCONNECTED]: StateChange;
  /** A state transition. */
  [DISPATCH_EVENT.STATE]: StateChange;
  /** A bad frame, a failed attempt or a failed listener: an error that no promise carries. */
  [DISPATCH_EVENT.ERROR]: SwitchboardError;
}

/** The options of the constructor and of all later calls, merged. */
type Settings = DispatchOptions & Omit<DispatchConfig, "options">;

/** Examples of the settings that other clients do not have. */
const OWN_SETTINGS: OwnExamples<Settings> = {
  authorization: "",
  shardName: "",
  maxConnectionsPerShard: "0",
  projectToken: "",
  projectId: "",
  host: "",
};

/** A client of a Koji shard. */
export class Dispatch {
  /** The connection, for observing its state. */
  readonly connection: Connection<Settings>;
  readonly #members: MemberList;
  #info: ConnectionInfo | undefined;
  /** The messages that identify this client, in the order in which they are sent. */
  readonly #identity = { [IDENTIFY]: "", [SET_USER_INFO]: "" };

  constructor({ options = {}, ...where }: DispatchConfig = {}) {
    this.connection = connection(
      {
        url: (token = this.connection.options.authorization) => {
          if (token) this.identify(token);
          const { options } = this.connection;
          let path = "koji?connectedClients=changes";
          for (const name of ["projectId", "shardName", "maxConnectionsPerShard"] as const) {
            if (options[name]) path += `&${name}=${encodeName(options[name])}`;
          }
          return kojiUrl(options.host, path);
        },
        received: (message) => this.#receive(message),
        lost: () => {
          this.#info = undefined;
          this.#members.version = undefined;
          // The list stays while the client reconnects.
          if (this.state === "closed") this.#members.clear();
        },
        probe: MEMBER_LIST_REQUEST,
        prefix: PLATFORM,
      },
      resolveOptions<Settings>(OWN_SETTINGS, options, where),
    );
    this.#members = new MemberList(this.connection);
  }

  /** `idle`, `connecting`, `connected`, `reconnecting` or `closed`. */
  get state(): ConnectionState {
    return this.connection.state;
  }

  /** The client id and shard; undefined while disconnected. */
  get connectionInfo(): ConnectionInfo | undefined {
    return this.#info;
  }

  /** The members of the shard, this client included. The same array until the list changes. */
  get connectedClients(): readonly ConnectedClient[] {
    return this.#members.array;
  }

  /** Sets the project for the next `connect` and `info`. */
  setProjectId(projectId: string): void {
    this.#set({ projectId });
  }

  /** Sets the host for the next `connect` and `info`. */
  setHost(host: string): void {
    this.#set({ host });
  }

  /** Resolves once the server has assigned a client id; rejects if the first attempt fails, unless `retry` is set. */
  async connect({ retry, signal, timeout, ...options }: DispatchOptions & OpenOptions = {}): Promise<ConnectionInfo> {
    this.#set(options);
    await this.connection.open({ retry, signal, timeout });
    // A listener may have disconnected in the meantime.
    if (!this.#info) throw new NotConnectedError("not connected");
    return this.#info;
  }

  /** Disconnects without reconnecting; `connect` connects again. Never rejects. */
  disconnect(options?: CallOptions): Promise<void> {
    return this.connection.close(options);
  }

  /**
   * Sends an event to all members of the shard, this client included, or to the clients and users with the
   * given ids. While disconnected the event waits in a bounded queue; returns false if it is volatile and
   * was dropped.
   *
   * Throws `NotConnectedError`, `QueueFullError`, `TooLargeError`, `BadDataError` or `BadOptionError`.
   */
  emitEvent(
    eventName: string,
    payload?: unknown,
    recipients?: string | readonly string[],
    options?: EmitEventOptions,
  ): boolean {
    checkEventName(eventName, PLATFORM);
    checkOptions(options, CALL_OPTIONS);
    for (const id of [recipients ?? []].flat()) check("recipient", id, "");
    const text = encodeEvent(eventName, payload, recipients);
    checkSize(text.length, MESSAGE_UNITS_MAX);
    return this.connection.send(text, options?.volatile);
  }

  /** Sends the token, now and after every reconnect. */
  identify(authToken: string): void {
    check("token", authToken, "");
    this.#set({ authorization: authToken });
    this.#sendIdentity(IDENTIFY, { token: authToken });
  }

  /** Publishes this client's user info to the shard, now and after every reconnect. */
  setUserInfo(userInfo: object): void {
    if (!isObject(userInfo)) throw new BadDataError("not an object");
    checkSize(byteLength(encode(userInfo)), USER_INFO_BYTES_MAX);
    this.#sendIdentity(SET_USER_INFO, userInfo);
  }

  /** Lists the shards of the project, the largest first. */
  info(options?: CallOptions): Promise<ShardInfo[]> {
    return withTimeout<ShardInfo[]>(10_000, options, "info", (resolve, reject, signal) => {
      const { host, projectId } = this.connection.options;
      // The name of the shared project is `undefined`.
      // Address parsers take `.` and `..` for steps between folders, also if they are encoded.
      const path = `info/${encodeName(projectId as string, /^\.\.?$/)}`;
      fetch(kojiUrl(host, path).replace("ws", "http"), { signal })
        .then((response) => {
          if (response.ok) return response.json();
          throw response.status;
        })
        .then(resolve, (cause: unknown) => reject(new ConnectFailedError("no info", { cause })));
    });
  }

  /**
   * Calls `callback` for every event of that name; returns a function that removes it.
   *
   * The server adds `__clientId` and `__timestamp` to payloads that are objects; the metadata has them too.
   * A callback for `CONNECTED_CLIENTS_CHANGED` is also called with the current list if there is one, after the
   * caller's code.
   */
  on<N extends keyof PlatformEvents>(event: N, callback: (payload: PlatformEvents[N]) => unknown): () => void;
  on<Payload = { readonly [name: string]: unknown }>(
    eventName: string,
    callback: (payload: Payload, metadata: EventMetadata) => unknown,
  ): () => void;
  on(eventName: string, callback: Listener): () => void {
    const { listeners } = this.connection;
    const remove = listeners.add(eventName, callback);
    let latest = eventName === CLIENTS_CHANGED && this.#members.event;
    // Not if the callback was removed in the meantime, or called with a newer list.
    if (latest) queueMicrotask(() => latest && latest === this.#members.event && listeners.run(eventName, callback, [latest]));
    return () => {
      latest = undefined;
      remove();
    };
  }

  /**
   * Calls `callback` with the member list whenever it changes, and with the current list if there is one;
   * returns a function that removes it.
   */
  onConnectedClientsChanged(callback: (connectedClients: readonly ConnectedClient[]) => unknown): () => void {
    check("callback", callback, check);
    return this.on(CLIENTS_CHANGED, () => callback(this.connectedClients));
  }

  #set(settings: Settings): void {
    this.connection.options = resolveOptions<Settings>(OWN_SETTINGS, this.connection.options, settings);
  }

  /** Sends the message now and stores it for the next CONNECTED. */
  #sendIdentity(eventName: typeof IDENTIFY | typeof SET_USER_INFO, payload: object): void {
    this.connection.send((this.#identity[eventName] = encodeEvent(eventName, payload)), true);
  }

  #receive({ eventName, payload, latencyMs }: JsonObject): boolean | void {
    if (!eventName) return false;
    // A payload that is not an object has none of these members. A name that is not a string throws below.
    const members = Object(payload) as JsonObject;
    const { __clientId, __timestamp, clientId, connectedClients, version } = members;
    if (!(eventName as string).startsWith(PLATFORM)) {
      const metadata = { latencyMs, clientId: __clientId, timestamp: __timestamp };
      this.connection.listeners.call(eventName as string, payload, metadata);
    } else if (eventName === CLIENTS_CHANGES) this.#members.change(members);
    else if (eventName === CONNECTED && typeof clientId === "string") {
      this.#info = members as unknown as ConnectionInfo;
      if (this.connection.options.getToken) scheduleTokenRefresh(this.connection, (token) => this.identify(token));
      // The identity is sent before any event that listeners emit.
      this.connection.ready(CONNECTED, members, Object.values(this.#identity));
    } else return eventName === CLIENTS_CHANGED && this.#members.replace(connectedClients, version);
  }
}

function encodeEvent(eventName: string, payload: unknown, recipients?: unknown): string {
  return encode({ eventName, payload, recipients });
}
