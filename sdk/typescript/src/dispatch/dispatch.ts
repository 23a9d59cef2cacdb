/**
 * Koji's Dispatch: events among the clients of a shard, and who is on it.
 *
 * The server knows nothing of a connection that was there before, so who we are (the token, the user
 * info) is said again after each CONNECTED, before anything that waited is sent.
 */

import {
  connection,
  type Connection,
  type ConnectionState,
  type OpenOptions,
  type StateChange,
} from "../core/connection.js";
import { within, type CallOptions } from "../core/timeout.js";
import { ConnectError, EncodeError, NotConnectedError, type SwitchboardError } from "../core/errors.js";
import { byteLength, checkEventName, checkSize, encode, isObject, type JsonObject } from "../core/json.js";
import type { Listener } from "../core/listeners.js";
import { resolve, type ConnectionOptions } from "../core/options.js";
import { scheduleTokenRefresh, type AuthorizationOptions } from "../core/tokenRefresh.js";
import { MEMBER_LIST_REQUEST, MemberList } from "./memberList.js";
import {
  CHANGES,
  CLIENTS_CHANGED,
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
import { place } from "./url.js";

/** The longest message, in UTF-16 units; the server passes over longer ones without a word. */
const MESSAGE_UNITS_MAX = 128_000;

const USER_INFO_BYTES_MAX = 16_384;

/** Options of a connection. `reconnect` is true by default here, and `maxRetries` without end. */
export interface DispatchOptions extends ConnectionOptions, AuthorizationOptions {
  /** The shard to be on; default one with a free seat. */
  readonly shardName?: string | undefined;
  /** Seats of a shard that is made for us. The server's default is 100. */
  readonly maxConnectionsPerShard?: string | number | undefined;
}

/** Where a dispatch connects. */
export interface DispatchConfig {
  /** The project; without one that of all who name none. */
  readonly projectId?: string | undefined;
  /** Such as `chat.example:3000` or `wss://chat.example/path`. Default: the page's. */
  readonly host?: string | undefined;
  /** Of the connection. */
  readonly options?: DispatchOptions | undefined;
}

/** How an event is sent. */
export interface EmitEventOptions {
  /** Rather nothing than late: without a connection the event is dropped. Default false. */
  readonly volatile?: boolean | undefined;
}

/** What listeners of the platform's events, and of this side's own, are given. */
export interface PlatformEvents {
  /** The server has said who and where we are. */
  [DISPATCH_EVENT.CONNECTED]: ConnectionInfo;
  /** Somebody came, went, or said something of themselves. */
  [DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED]: {
    /** Everyone on the shard, by id. */
    readonly connectedClients: ConnectedClients;
  };
  /** A later connection is open. */
  [DISPATCH_EVENT.RECONNECTED]: {
    /** Tries it took. */
    readonly attempt: number;
  };
  /** A connection that was open is gone. */
  [DISPATCH_EVENT.DISCONNECTED]: StateChange;
  /** Every step of the state machine. */
  [DISPATCH_EVENT.STATE]: StateChange;
  /** A bad frame, a failed try, a listener that threw: what nobody waits for. */
  [DISPATCH_EVENT.ERROR]: SwitchboardError;
}

/** All that was set, from whichever call. */
type Settings = DispatchOptions & Omit<DispatchConfig, "options">;

/** A client of a shard. */
export class Dispatch {
  /** The state machine, for those who want to watch it. */
  readonly connection: Connection<Settings>;
  readonly #clients: MemberList;
  #info: ConnectionInfo | undefined;
  /** Who we are, as it is said, in this order. */
  readonly #introduction = { [IDENTIFY]: "", [SET_USER_INFO]: "" };

  constructor({ options = {}, ...where }: DispatchConfig = {}) {
    this.connection = connection(
      {
        url: this.#url,
        received: this.#receive,
        lost: this.#forget,
        probe: MEMBER_LIST_REQUEST,
        prefix: PLATFORM,
      },
      resolve<Settings>(options, where),
    );
    this.#clients = new MemberList(this.connection);
  }

  /** `idle`, `connecting`, `connected`, `reconnecting` or `closed`. */
  get state(): ConnectionState {
    return this.connection.state;
  }

  /** Who and where we are; undefined while not connected. */
  get connectionInfo(): ConnectionInfo | undefined {
    return this.#info;
  }

  /** Everyone on the shard, as last heard. The same array until that changes. */
  get connectedClients(): readonly ConnectedClient[] {
    return this.#clients.array;
  }

  /** For the next `connect` and `info`. */
  setProjectId(projectId: string): void {
    this.#set({ projectId });
  }

  /** For the next `connect` and `info`. */
  setHost(host: string): void {
    this.#set({ host });
  }

  /** Resolves when the server has said who we are, and rejects when it cannot be reached. */
  async connect(options: DispatchOptions & OpenOptions = {}): Promise<ConnectionInfo> {
    this.#set(options);
    await this.connection.open(options);
    // It may be gone again, by a listener that was told before us.
    if (!this.#info) throw new NotConnectedError("no connection");
    return this.#info;
  }

  /** Leaves for good; `connect` comes back. Never rejects. */
  disconnect(options?: CallOptions): Promise<void> {
    return this.connection.close(options);
  }

  /**
   * Sends an event to everyone on the shard, ourselves too, or to the clients and users with these
   * ids. Waits in a bounded queue while there is no connection. False if it was volatile and dropped.
   *
   * Throws if it cannot be sent: `NotConnectedError`, `QueueFullError`, `TooLargeError`,
   * `EncodeError`.
   */
  emitEvent(
    eventName: string,
    payload?: unknown,
    recipients?: string | readonly string[],
    options?: EmitEventOptions,
  ): boolean {
    checkEventName(eventName, PLATFORM);
    const text = said(eventName, payload, recipients);
    checkSize(text.length, MESSAGE_UNITS_MAX);
    return this.connection.send(text, options?.volatile);
  }

  /** Says who we are, now and after every reconnect. */
  identify(authToken: string): void {
    this.#set({ authorization: authToken });
    this.#introduce(IDENTIFY, { token: authToken });
  }

  /** Says something of us to the shard, now and after every reconnect. */
  setUserInfo(userInfo: object): void {
    if (!isObject(userInfo)) throw new EncodeError("no object");
    checkSize(byteLength(encode(userInfo)), USER_INFO_BYTES_MAX);
    this.#introduce(SET_USER_INFO, userInfo);
  }

  /** Which shards of the project there are, the largest first. */
  info(options?: CallOptions): Promise<ShardInfo[]> {
    return within<ShardInfo[]>(10_000, options, "info", (resolve, reject) => {
      const { host, projectId } = this.connection.options;
      // No project is one too, by the name that this gives it.
      fetch(place(host, `info/${encodeURIComponent(projectId as string)}`).replace("ws", "http"))
        .then((response) => {
          if (response.ok) return response.json();
          throw response.status;
        })
        .then(resolve, (cause: unknown) => reject(new ConnectError("no info", { cause })));
    });
  }

  /**
   * Calls `callback` for every event of that name. Returns its own undo.
   *
   * A payload that is an object has the server's `__clientId` and `__timestamp` in it; the metadata
   * has them too.
   */
  on<N extends keyof PlatformEvents>(event: N, callback: (payload: PlatformEvents[N]) => unknown): () => void;
  on<Payload = { readonly [name: string]: unknown }>(
    eventName: string,
    callback: (payload: Payload, metadata: EventMetadata) => unknown,
  ): () => void;
  on(eventName: string, callback: Listener): () => void {
    return this.connection.listeners.add(eventName, callback);
  }

  /** Calls `callback` with everyone on the shard, whenever that changes. Returns its own undo. */
  onConnectedClientsChanged(callback: (connectedClients: readonly ConnectedClient[]) => unknown): () => void {
    return this.on(CLIENTS_CHANGED, () => callback(this.connectedClients));
  }

  #set(settings: Settings): void {
    this.connection.options = resolve(this.connection.options, settings);
  }

  /** Said now and, as it is now, after every CONNECTED. */
  #introduce(eventName: typeof IDENTIFY | typeof SET_USER_INFO, payload: object): void {
    this.connection.send((this.#introduction[eventName] = said(eventName, payload)), true);
  }

  readonly #url = (token = this.connection.options.authorization): string => {
    if (token) this.identify(token);
    const { options } = this.connection;
    let path = "koji?connectedClients=changes";
    for (const name of ["projectId", "shardName", "maxConnectionsPerShard"] as const) {
      if (options[name]) path += `&${name}=${encodeURIComponent(options[name])}`;
    }
    return place(options.host, path);
  };

  readonly #receive = ({ eventName, payload, latencyMs }: JsonObject): boolean | void => {
    if (!eventName) return false;
    // Nothing is in what is no object. What is no name throws.
    const members = Object(payload) as JsonObject;
    const { __clientId, __timestamp, clientId, connectedClients, version } = members;
    if (!(eventName as string).startsWith(PLATFORM)) {
      this.connection.listeners.call(eventName as string, payload, { latencyMs, clientId: __clientId, timestamp: __timestamp });
    } else if (eventName === CHANGES) this.#clients.change(members);
    else if (eventName === CONNECTED && typeof clientId === "string") {
      this.#info = members as unknown as ConnectionInfo;
      if (this.connection.options.getToken) scheduleTokenRefresh(this.connection, (token) => this.identify(token));
      // Who we are goes first, before anything that listeners send.
      this.connection.ready(CONNECTED, members, Object.values(this.#introduction));
    } else return eventName === CLIENTS_CHANGED && this.#clients.replace(connectedClients, version);
  };

  /** What held for the last connection. Of a shard we are not coming back to nobody is left. */
  readonly #forget = (): void => {
    this.#info = undefined;
    this.#clients.version = undefined;
    if (this.connection.state === "closed" && this.#clients.array.length) this.#clients.replace({});
  };
}

function said(eventName: string, payload: unknown, recipients?: unknown): string {
  return encode({ eventName, payload, recipients });
}
