/**
 * Koji's Dispatch: events among the clients of a shard, and who is on it.
 *
 * The server knows nothing of a connection that was there before, so who we are (the token, the user
 * info) is said again after each CONNECTED, before anything that waited is sent.
 */

import { Connection, type ConnectionState, type OpenOptions, type StateChange } from "../core/connection.js";
import { after, within, type Wait } from "../core/deadline.js";
import {
  ConnectError,
  EncodeError,
  NotConnectedError,
  ProtocolError,
  TokenError,
  type SwitchboardError,
} from "../core/errors.js";
import { checkBytes, checkName, decode, encode, isObject, tooLarge, type Members } from "../core/json.js";
import type { Listener, Listeners } from "../core/listeners.js";
import { resolve, type ConnectionOptions } from "../core/options.js";
import { ClientList } from "./clientList.js";
import {
  CHANGES,
  DISPATCH_EVENT,
  GET_CLIENTS,
  PLATFORM,
  type ConnectedClient,
  type ConnectedClients,
  type ConnectionInfo,
  type EventMetadata,
  type ShardInfo,
} from "./events.js";
import { infoUrl, socketUrl } from "./place.js";
import { refreshIn } from "./tokenEnd.js";

/** The longest message, in UTF-16 units; the server passes over longer ones without a word. */
const MESSAGE_UNITS_MAX = 128_000;

const USER_INFO_BYTES_MAX = 16_384;

/** Options of a connection. `reconnect` is true by default here, and `maxRetries` without end. */
export interface DispatchOptions extends ConnectionOptions {
  /** The shard to be on; default one with a free seat. */
  readonly shardName?: string | undefined;
  /** Seats of a shard that is made for us. The server's default is 100. */
  readonly maxConnectionsPerShard?: string | number | undefined;
  /** A token that says who we are; `identify` does the same later. */
  readonly authorization?: string | undefined;
}

export interface DispatchConfig {
  readonly projectId?: string | undefined;
  /** Such as `chat.example:3000` or `wss://chat.example/path`. Default: the page's. */
  readonly host?: string | undefined;
  readonly options?: DispatchOptions | undefined;
}

export interface EmitEventOptions {
  /** Rather nothing than late: without a connection the event is dropped. Default false. */
  readonly volatile?: boolean | undefined;
}

/** What listeners of the platform's events, and of this side's own, are given. */
export interface PlatformEvents {
  [DISPATCH_EVENT.CONNECTED]: ConnectionInfo;
  [DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED]: {
    readonly connectedClients: ConnectedClients;
  };
  [DISPATCH_EVENT.RECONNECTED]: { readonly attempt: number };
  [DISPATCH_EVENT.DISCONNECTED]: StateChange;
  [DISPATCH_EVENT.STATE]: StateChange;
  [DISPATCH_EVENT.ERROR]: SwitchboardError;
}

/** For the array; a name that no event can have. */
const CLIENTS = "";

export class Dispatch {
  /** The state machine, for those who want to watch it. */
  readonly connection: Connection;
  readonly #listeners: Listeners;
  readonly #clients = new ClientList();
  #projectId: string | undefined;
  #host: string | undefined;
  #options: DispatchOptions;
  #info: ConnectionInfo | undefined;
  #token: string | undefined;
  #userInfo: Members | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;
  /** Aborted when the connection has ended. */
  #ending: AbortController | undefined;
  #asked = false;

  constructor({ projectId, host, options = {} }: DispatchConfig = {}) {
    this.#projectId = projectId;
    this.#host = host;
    this.#options = options;
    this.#token = options.authorization;
    this.connection = new Connection(
      {
        url: (token) => {
          this.#token = token ?? this.#token;
          const { shardName, maxConnectionsPerShard } = this.#options;
          const seat = { shardName, maxConnectionsPerShard, connectedClients: "changes" };
          return socketUrl(this.#host, { projectId: this.#projectId, ...seat });
        },
        // The server speaks first.
        opened: () => {},
        received: (frame) => this.#receive(decode(frame), frame),
        lost: () => this.#forget(),
        probe: () => ASK_FOR_CLIENTS,
        prefix: PLATFORM,
      },
      resolve(options),
    );
    this.#listeners = this.connection.listeners;
    this.#listeners.add(`${PLATFORM}connection`, (info: ConnectionInfo) => {
      this.#listeners.call(DISPATCH_EVENT.CONNECTED, info);
    });
  }

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
    this.#projectId = projectId;
  }

  /** For the next `connect` and `info`. */
  setHost(host: string): void {
    this.#host = host;
  }

  /** Resolves when the server has said who we are, and rejects when it cannot be reached. */
  async connect({ signal, timeout, retry, ...options }: DispatchOptions & OpenOptions = {}): Promise<ConnectionInfo> {
    this.#options = { ...this.#options, ...options };
    this.#token = options.authorization ?? this.#token;
    this.connection.options = resolve(this.#options);
    await this.connection.open({ signal, timeout, retry });
    // It may be gone again, by a listener that was told before us.
    if (!this.#info) throw new NotConnectedError("not connected");
    return this.#info;
  }

  /** Leaves for good; `connect` comes back. Never rejects. */
  disconnect(options?: Wait): Promise<void> {
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
    checkName(eventName, PLATFORM);
    const text = said(eventName, payload, recipients);
    if (text.length > MESSAGE_UNITS_MAX) throw tooLarge(text.length, MESSAGE_UNITS_MAX);
    return this.connection.send(text, options?.volatile);
  }

  /** Says who we are, now and after every reconnect. */
  identify(authToken: string): void {
    this.#token = authToken;
    this.connection.send(said(DISPATCH_EVENT.IDENTIFY, { token: authToken }), true);
  }

  /** Says something of us to the shard, now and after every reconnect. */
  setUserInfo(userInfo: object): void {
    if (!isObject(userInfo)) throw new EncodeError("user info is an object");
    // Kept as it is now: it is said again later, whatever becomes of the object.
    this.#userInfo = JSON.parse(checkBytes(encode(userInfo), USER_INFO_BYTES_MAX)) as Members;
    this.connection.send(said(DISPATCH_EVENT.SET_USER_INFO, this.#userInfo), true);
  }

  /** Which shards of the project there are, the largest first. */
  info({ signal, timeout = 10_000 }: Wait = {}): Promise<ShardInfo[]> {
    return within<ShardInfo[]>({ signal, timeout }, "info", (resolve, reject) => {
      shardsAt(infoUrl(this.#host, this.#projectId)).then(resolve, reject);
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
    return this.#listeners.add(eventName, callback);
  }

  /** Calls `callback` with everyone on the shard, whenever that changes. Returns its own undo. */
  onConnectedClientsChanged(callback: (connectedClients: readonly ConnectedClient[]) => unknown): () => void {
    return this.on(CLIENTS, callback);
  }

  #receive({ eventName, payload, latencyMs }: Members, frame: unknown): void {
    const members = isObject(payload) ? payload : {};
    if (typeof eventName === "string" && eventName && !eventName.startsWith(PLATFORM)) {
      const { __clientId: clientId, __timestamp: timestamp } = members;
      this.#listeners.call(eventName, payload, { latencyMs, clientId, timestamp });
    } else if (eventName === DISPATCH_EVENT.CONNECTED && typeof members.clientId === "string") {
      this.#info = members as unknown as ConnectionInfo;
      this.connection.ready(this.#info, this.#introduction());
    } else if (eventName === CHANGES) {
      this.#change(members);
    } else if (eventName !== DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED || !this.#replace(members)) {
      throw new ProtocolError("the frame is no event", { frame });
    }
  }

  #change(changes: Members): void {
    if (this.#clients.change(changes)) return this.#tellClients();
    // Some were missed. The list may have been asked for already.
    this.#clients.outdate();
    if (!this.#asked) this.connection.send(ASK_FOR_CLIENTS, true);
    this.#asked = true;
  }

  /** False if it is no list. */
  #replace(list: Members): boolean {
    this.#asked = false;
    // The answer to a probe is no news.
    if (this.#clients.has(list)) return true;
    const isList = this.#clients.replace(list);
    if (isList) this.#tellClients();
    return isList;
  }

  #tellClients(): void {
    this.#listeners.call(DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED, { connectedClients: this.#clients.byId });
    this.#listeners.call(CLIENTS, this.#clients.array);
  }

  /** Who we are goes first, before anything that listeners send. */
  #introduction(): string[] {
    this.#ending = new AbortController();
    this.#scheduleRefresh(this.#ending.signal);
    const { IDENTIFY, SET_USER_INFO } = DISPATCH_EVENT;
    return [
      ...(this.#token ? [said(IDENTIFY, { token: this.#token })] : []),
      ...(this.#userInfo ? [said(SET_USER_INFO, this.#userInfo)] : []),
    ];
  }

  /** A token that ends makes us nobody, though the connection stays; so the next one comes before. */
  #scheduleRefresh(signal: AbortSignal): void {
    const { getToken } = this.connection.options;
    if (!getToken || !this.#token) return;
    this.#refresh = after(refreshIn(this.#token, Date.now()), async () => {
      try {
        const token = await getToken({ reason: "expiring", signal });
        if (signal.aborted) return;
        this.identify(token);
      } catch (error) {
        this.#listeners.report(new TokenError("getToken failed", { cause: error }));
      }
      if (!signal.aborted) this.#scheduleRefresh(signal);
    });
  }

  /** What held for the last connection. Of a shard we are not coming back to nobody is left. */
  #forget(): void {
    this.#info = undefined;
    this.#asked = false;
    this.#clients.outdate();
    clearTimeout(this.#refresh);
    this.#ending?.abort();
    if (this.connection.state === "closed" && this.#clients.array.length) this.#replace({ connectedClients: {} });
  }
}

/** Asks for the whole list, which also is a sign of life. */
const ASK_FOR_CLIENTS = `{"eventName":"${GET_CLIENTS}"}`;

function said(eventName: string, payload: unknown, recipients?: unknown): string {
  return encode({ eventName, payload, recipients });
}

async function shardsAt(url: string): Promise<ShardInfo[]> {
  try {
    const response = await fetch(url);
    if (response.ok) return (await response.json()) as ShardInfo[];
    throw response.status;
  } catch (cause) {
    throw new ConnectError("no info", { cause });
  }
}
