/**
 * Koji's Dispatch: events between the members of a shard, and their list.
 *
 * Unless it resumes a session, a server keeps no state of an earlier connection. After each CONNECTED the client
 * therefore sends its identity (token and user info) again, before any queued message.
 */

import { encodeName, urlBelow } from "../core/address.js";
import { BOOLEAN, check, checkOptions, FUNCTION, OBJECT, SECRET, shown, STRING, wholeNumber, type Expectations } from "../core/check.js";
import type { Connection, ConnectionState, OpenOptions, StateChange } from "../core/connection.js";
import { AuthenticationFailedError, BadDataError, type SwitchboardError } from "../core/errors.js";
import type { HistoryOptions, RoomHistory } from "../core/history.js";
import { byteLength, checkEventName, checkSize, encode, isObject, type JsonObject } from "../core/json.js";
import type { Listener } from "../core/listeners.js";
import { moveAfter } from "../core/move.js";
import { resolveOptions, type ConnectionOptions, type OwnExpectations } from "../core/options.js";
import { ReconnectingConnection } from "../core/reconnectingConnection.js";
import { warnRefused, type RefusedEvent } from "../core/refusedError.js";
import { Session, type Gap, type Recovery } from "../core/session.js";
import { CALL_OPTIONS, withTimeout, type CallOptions } from "../core/timeout.js";
import { scheduleTokenRefresh, type AuthorizationOptions } from "../core/tokenRefresh.js";
import type { Known, Unchecked } from "../core/unchecked.js";
import type {
  EmitArguments,
  EventNames,
  ListedUserInfoOf,
  PayloadOf,
  ReceivedPayloadOf,
  ShardContract,
  UntypedShard,
  UserInfoOf,
} from "./contract.js";
import {
  CLIENTS_CHANGED,
  CLIENTS_CHANGES,
  CONNECTED,
  DISPATCH_EVENT,
  GOAWAY,
  HISTORY,
  IDENTIFY,
  PLATFORM,
  RESUME,
  SESSION,
  SET_USER_INFO,
  TOKEN_ANSWER,
  type ConnectedClient,
  type ConnectedClients,
  type ConnectionInfo,
  type EventMetadata,
  type Identity,
  type ShardInfo,
  type UncheckedUserInfo,
} from "./events.js";
import { HistoryRequests } from "./historyRequests.js";
import { HELLO_PROBE, MEMBER_LIST_REQUEST, MemberList } from "./memberList.js";
import { listShards } from "./shardList.js";

/** The longest message, in UTF-16 units; the server silently ignores longer ones. */
const MESSAGE_UNITS_MAX = 128_000;

const USER_INFO_BYTES_MAX = 16_384;

/** Options of a connection. `reconnect` defaults to true, `maxRetries` to no limit. */
export interface DispatchOptions extends ConnectionOptions, AuthorizationOptions {
  /** The shard to join. Default: one with a free seat, assigned by the server. */
  readonly shardName?: string | undefined;
  /** The capacity of a shard that the server creates for this client, 1 to 10,000. Default: the server's, 100 seats. */
  readonly maxConnectionsPerShard?: string | number | undefined;
  /**
   * Sends the token in the address, too. A server needs it there if only the token gives the right to join the shard;
   * proxies write addresses to their logs. Default false.
   */
  readonly tokenInAddress?: boolean | undefined;
  /**
   * With `reconnect`, whether to resume the session if the server keeps it: the client has its id, seat and user info
   * again, and other members see no change. Default true.
   */
  readonly resume?: boolean | undefined;
  /** An option of the original for backends; it has no effect. */
  readonly projectToken?: string | undefined;
}

/** Where a `Dispatch` connects, and the options of the connection. */
export interface DispatchConfig extends DispatchOptions {
  /** The project. Default: the one shared by all clients that name none. */
  readonly projectId?: string | undefined;
  /** For example `localhost:3000` or `wss://chat.example/path`. Default: the host of the page. */
  readonly host?: string | undefined;
  /** Options of the connection, as the original has them; those beside it override them. */
  readonly options?: DispatchOptions | undefined;
}

/** Options of `emitEvent`. */
export interface EmitEventOptions {
  /** Drops the event while disconnected instead of queueing it. Default false. */
  readonly volatile?: boolean | undefined;
}

const EMIT_OPTIONS: Expectations<EmitEventOptions> = { volatile: BOOLEAN };

/** The payloads of platform events and of this package's own events. */
export interface PlatformEvents<UserInfo = UncheckedUserInfo> {
  /** The server has assigned a client id and a shard. */
  [DISPATCH_EVENT.CONNECTED]: ConnectionInfo;
  /** A member joined, left or changed its user info. */
  [DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED]: {
    /** All members of the shard, by client id. */
    readonly connectedClients: ConnectedClients<UserInfo>;
  };
  /** The server has accepted a token of this client. A refused one raises `ERROR`. */
  [DISPATCH_EVENT.IDENTIFIED]: Identity;
  /** The client has reconnected. */
  [DISPATCH_EVENT.RECONNECTED]: {
    /** The number of attempts. */
    readonly attempt: number;
    /** Whether the servers have kept the session: the client has the same seat and, unless it came to another node, the same id. */
    readonly resumed: boolean;
  };
  /** The messages that were missed before the session was resumed have arrived. Only rooms with a history are recovered. */
  [DISPATCH_EVENT.RECOVERED]: Recovery;
  /** Messages are lost: the client read too slowly, or the history of a room no longer has them. */
  [DISPATCH_EVENT.GAP]: Gap;
  /** The server has refused an event, or a user info. Without a listener the console shows it. */
  [DISPATCH_EVENT.REFUSED]: RefusedEvent;
  /** The connection has closed. */
  [DISPATCH_EVENT.DISCONNECTED]: StateChange;
  /** A state transition. */
  [DISPATCH_EVENT.STATE]: StateChange;
  /** A bad frame, a failed attempt or a failed listener: an error that no promise carries. */
  [DISPATCH_EVENT.ERROR]: SwitchboardError;
}

/** The options of the constructor and of all later calls, merged. */
type Settings = Omit<DispatchConfig, "options">;

/** Checked here, because a server replaces any other value by its default: a table for four would have 100 seats. */
const SEATS = /* @__PURE__ */ wholeNumber(10_000, true);

/** The expectations for the settings that other clients do not have. */
const OWN_SETTINGS: OwnExpectations<Settings> = {
  authorization: SECRET,
  shardName: STRING,
  maxConnectionsPerShard: SEATS,
  tokenInAddress: BOOLEAN,
  resume: BOOLEAN,
  projectToken: SECRET,
  projectId: STRING,
  host: STRING,
};

/** The arguments of a listener. */
type ListenerArguments<C extends ShardContract, N> = N extends keyof PlatformEvents
  ? [payload: PlatformEvents<ListedUserInfoOf<C>>[N]]
  : [payload: ReceivedPayloadOf<C, N>, metadata: EventMetadata];

/** A client of a Koji shard. */
export class Dispatch<C extends ShardContract = UntypedShard> {
  /** The connection, for observing its state. */
  readonly connection: Connection<Settings>;
  readonly #members: MemberList;
  readonly #session = new Session();
  readonly #historyRequests = new HistoryRequests();
  /** The server has announced that the next CONNECTED is that of the old session. */
  #isResumed = false;
  #info: ConnectionInfo | undefined;
  /** The messages that identify this client, in the order in which they are sent. */
  readonly #identity = { [IDENTIFY]: "", [SET_USER_INFO]: "" };

  /** Creates a client without connecting it. Throws `BadOptionError` for an invalid option. */
  constructor(config: DispatchConfig = {}) {
    check("the argument of Dispatch", config, OBJECT);
    const { options, ...settings } = config;
    this.connection = new ReconnectingConnection<Settings>(
      {
        name: "Koji",
        openMethod: "connect()",
        url: (token = this.connection.options.authorization) => this.#url(token),
        subprotocols: (isMoving) => (this.#resumes() ? this.#session.subprotocols(isMoving) : undefined),
        moveAfter,
        received: (message) => this.#receive(message),
        lost: (error, isFinal) => {
          this.#historyRequests.lost(error);
          this.#isResumed = false;
          if (isFinal) this.#session.end();
          else this.#session.lost();
          this.#info = undefined;
          this.#members.version = undefined;
          // The list stays while the client reconnects.
          if (this.state === "closed") this.#members.clear();
        },
        probe: MEMBER_LIST_REQUEST,
        hello: { name: "CONNECTED", probe: HELLO_PROBE },
        latest: (event) => (event === CLIENTS_CHANGED ? this.#members.event : undefined),
        prefix: PLATFORM,
      },
      resolveOptions<Settings>(OWN_SETTINGS, options ?? {}, settings),
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
  get connectedClients(): readonly ConnectedClient<ListedUserInfoOf<C>>[] {
    return this.#members.array as readonly ConnectedClient<ListedUserInfoOf<C>>[];
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
    if (!this.#info) throw this.connection.notConnected();
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
  emitEvent<N extends string>(
    eventName: Known<N, EventNames<C>>,
    ...rest: EmitArguments<[N] extends [EventNames<C>] ? PayloadOf<C, N> : Unchecked, [recipients?: string | readonly string[], options?: EmitEventOptions]>
  ): boolean;
  emitEvent(
    eventName: string,
    payload?: unknown,
    recipients?: string | readonly string[],
    options?: EmitEventOptions,
  ): boolean {
    checkEventName(eventName, PLATFORM);
    checkOptions(options, EMIT_OPTIONS);
    for (const id of [recipients ?? []].flat()) check("a recipient", id, STRING);
    const text = encodeEvent(eventName, payload, recipients);
    checkSize("the message", text.length, "UTF-16 units", "the limit", MESSAGE_UNITS_MAX);
    return this.connection.send(text, options?.volatile);
  }

  /**
   * Sends the token, now and after every reconnect. The event `IDENTIFIED` reports that the server has accepted
   * it, and `ERROR` that it has not.
   */
  identify(authToken: string): void {
    check("the token", authToken, SECRET);
    this.#set({ authorization: authToken });
    this.#sendIdentity(IDENTIFY, { token: authToken });
  }

  /** Publishes this client's user info to the shard, now and after every reconnect. */
  setUserInfo(userInfo: UserInfoOf<C>): void {
    if (!isObject(userInfo)) throw new BadDataError(`the user info is ${shown(userInfo)}; expected an object`);
    const bytes = byteLength(encode(userInfo));
    checkSize("the user info", bytes, "bytes", "the limit", USER_INFO_BYTES_MAX);
    this.#sendIdentity(SET_USER_INFO, userInfo);
  }

  /** Lists the shards of the project, the largest first. */
  info(options?: CallOptions): Promise<ShardInfo[]> {
    const { host, projectId } = this.connection.options;
    const wait = { subject: "list of shards", timeout: 10_000, options, known: CALL_OPTIONS };
    return withTimeout<ShardInfo[]>(wait, (resolve, reject, signal) => {
      listShards(host, projectId, signal).then(resolve, reject);
    });
  }

  /**
   * Reads messages that a room keeps; without a name, the shard of this client. Rejects with `RefusedError` if the room
   * keeps none (`no_history`) or this client may not read them (`forbidden`), with `NotConnectedError`,
   * `DisconnectedError`, `TimeoutError`, `AbortedError` or `BadOptionError`.
   */
  history(room?: string, options?: HistoryOptions): Promise<RoomHistory> {
    return this.#historyRequests.read(this.connection, room, options);
  }

  /**
   * Calls `callback` for every event of that name; returns a function that removes it.
   *
   * The server adds `__clientId` and `__timestamp` to payloads that are objects; the metadata has them too.
   * A callback for `CONNECTED_CLIENTS_CHANGED` is also called with the current list if there is one, after the
   * caller's code.
   */
  on<N extends EventNames<C> | keyof PlatformEvents>(
    eventName: N,
    callback: (...args: ListenerArguments<C, N>) => unknown,
  ): () => void {
    return this.connection.listeners.add(eventName, callback as Listener);
  }

  /**
   * Calls `callback` with the member list whenever it changes, and with the current list if there is one;
   * returns a function that removes it.
   */
  onConnectedClientsChanged(
    callback: (connectedClients: readonly ConnectedClient<ListedUserInfoOf<C>>[]) => unknown,
  ): () => void {
    check("the callback", callback, FUNCTION);
    return this.connection.listeners.add(CLIENTS_CHANGED, () => callback(this.connectedClients));
  }

  /** The address of the shard. The token follows in a message, so that no log of addresses contains it. */
  #url(token: string | undefined): URL {
    if (token) this.identify(token);
    const { options } = this.connection;
    const url = urlBelow(options.host, "koji");
    const query = ["connectedClients=changes", "identify=answered"];
    if (this.#resumes()) query.push("sb=1");
    if (token && options.tokenInAddress) query.push(`authorization=${encodeName(token)}`);
    for (const name of ["projectId", "shardName", "maxConnectionsPerShard"] as const) {
      if (options[name]) query.push(`${name}=${encodeName(options[name])}`);
    }
    url.search += (url.search ? "&" : "?") + query.join("&");
    return url;
  }

  #resumes(): boolean {
    const { reconnect, resume } = this.connection.options;
    return reconnect && resume !== false;
  }

  #set(settings: Settings): void {
    this.connection.options = resolveOptions<Settings>(OWN_SETTINGS, this.connection.options, settings);
  }

  /** Sends the message now and stores it for the next CONNECTED. */
  #sendIdentity(eventName: typeof IDENTIFY | typeof SET_USER_INFO, payload: object): void {
    this.connection.send((this.#identity[eventName] = encodeEvent(eventName, payload)), true);
  }

  #receive(message: JsonObject): boolean | void {
    const { eventName, payload, latencyMs } = message;
    if (!eventName) return false;
    // A payload that is not an object has none of these members. An event name that is not a string throws below.
    const members = Object(payload) as JsonObject;
    const { __clientId, __timestamp, clientId, connectedClients, version } = members;
    const name = eventName as string;
    if (name === CLIENTS_CHANGES) this.#members.change(members);
    else if (name === CLIENTS_CHANGED) return this.#members.replace(connectedClients, version);
    else if (name === CONNECTED && typeof clientId === "string") this.#connected(members);
    else if (name === SESSION) this.#isResumed = this.#session.begin(payload);
    else if (name === GOAWAY) this.connection.goAway(members);
    else if (name === TOKEN_ANSWER) this.#tokenAnswered(members);
    else if (name === HISTORY) this.#historyRequests.answered(members);
    else if (name.startsWith(PLATFORM)) return false;
    else if (this.#session.isNew(message, (gap) => this.connection.listeners.call(DISPATCH_EVENT.GAP, gap))) {
      if (name === DISPATCH_EVENT.RECOVERED) this.#session.recovered(payload);
      const metadata = { latencyMs, clientId: __clientId, timestamp: __timestamp };
      if (!this.connection.listeners.call(name, payload, metadata) && name === DISPATCH_EVENT.REFUSED) warnRefused(payload);
    }
  }

  #connected(info: JsonObject): void {
    this.#info = info as unknown as ConnectionInfo;
    const { authorization, getToken } = this.connection.options;
    if (getToken) scheduleTokenRefresh(this.connection, authorization, (token) => this.identify(token));
    // The positions are the first message after a resume, and the identity precedes any event that listeners emit.
    const positions = this.#isResumed ? encodeEvent(RESUME, this.#session.positions()) : "";
    this.connection.ready(CONNECTED, info, [positions, ...Object.values(this.#identity)], this.#isResumed);
  }

  #tokenAnswered({ user, error }: JsonObject): void {
    const { listeners } = this.connection;
    if (error === undefined) return void listeners.call(DISPATCH_EVENT.IDENTIFIED, { user });
    const reason = String(error);
    const refused = new AuthenticationFailedError(`the server refused the token: ${reason}`, { closeCode: 0, reason });
    // No promise carries it, so without a listener the console shows it.
    if (!listeners.report(refused)) console.error(refused);
  }
}

function encodeEvent(eventName: string, payload: unknown, recipients?: unknown): string {
  return encode({ eventName, payload, recipients });
}
