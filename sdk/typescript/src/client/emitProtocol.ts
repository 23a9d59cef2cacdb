/**
 * The emit protocol on one connection: pending requests, incoming events, and replies to the server.
 */

import { webSocketUrl } from "../core/address.js";
import { check, checkOptions, FUNCTION, STRING } from "../core/check.js";
import type { Connection } from "../core/connection.js";
import { AuthenticationFailedError, SwitchboardError } from "../core/errors.js";
import { byteLength, checkEventName, checkSize, encode, type JsonObject } from "../core/json.js";
import { listenerError } from "../core/listeners.js";
import { moveAfter } from "../core/move.js";
import { resolveOptions } from "../core/options.js";
import { EMIT_PROBE } from "../core/otherProtocol.js";
import { ReconnectingConnection } from "../core/reconnectingConnection.js";
import { withTimeout } from "../core/timeout.js";
import { Session } from "../core/session.js";
import { scheduleTokenRefresh } from "../core/tokenRefresh.js";
import { historyOptions, type HistoryOptions, type RoomHistory } from "../core/history.js";
import { OWN_OPTIONS, type EmitClientOptions } from "./options.js";
import { RateLimitedError, refusedErrorFrom, warnRefused } from "../core/refusedError.js";
import { REQUEST_OPTIONS, type RequestOptions } from "./requestOptions.js";
import { checkSchemas, schemaOf, validated } from "./schema.js";

/** The limit of server requests in progress; further ones get no reply. */
const HANDLERS_IN_FLIGHT_MAX = 256;

/** The prefix of each side's own events, which are never sent. */
const SYSTEM = "@";

/** The event with which a client shows a token. */
const IDENTIFY = "@identify";

/** The event with which a client reads the history of a room. */
const HISTORY = "@history";

export type Handler = (data: never) => unknown;

interface PendingRequest {
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly frame: string;
  /** Whether the frame is sent again on the next connection. The server may then receive it twice. */
  readonly again?: boolean | undefined;
}

export class EmitProtocol {
  readonly connection: Connection;
  readonly #handlers = new Map<string, Handler>();
  readonly #options: EmitClientOptions;
  readonly #session = new Session();
  readonly #pending = new Map<unknown, PendingRequest>();
  /** The token in the address. */
  #token: string | undefined;
  #lastId = 0;
  #handlersInFlight = 0;
  /** Changes with every connection. */
  #epoch = 0;

  constructor(url: string | URL, given: EmitClientOptions) {
    const options = resolveOptions<EmitClientOptions>(OWN_OPTIONS, { reconnect: false, maxRetries: 10 }, given);
    checkSchemas(options.schemas);
    this.#options = options;
    const address = webSocketUrl(url);
    this.connection = new ReconnectingConnection(
      {
        name: "emit",
        openMethod: "open()",
        url: (token) => {
          if (token !== undefined) address.searchParams.set(options.tokenParameter ?? "token", token);
          // `sb` asks for the server's own events, such as a refusal. Without it the server sends none, because other clients do
          // not understand them.
          address.searchParams.set("sb", "1");
          if (!this.#resumes()) address.searchParams.set("resume", "0");
          this.#token = token;
          return address;
        },
        subprotocols: (isMoving) => (this.#resumes() ? this.#session.subprotocols(isMoving) : undefined),
        moveAfter,
        handled: () => this.#handled(),
        isBusy: () => [...this.#pending.values()].some(({ again }) => !again),
        opened: (subprotocol) => {
          if (options.getToken) scheduleTokenRefresh(this.connection, this.#token, (token) => this.#identify(token));
          if (!this.#session.opened(subprotocol)) this.#ready(false);
        },
        received: (message) => this.#receive(message),
        lost: (error, isFinal) => {
          if (isFinal) this.#session.end();
          else this.#session.lost();
          this.#epoch++;
          for (const { frame, again, reject } of this.#pending.values()) {
            if (isFinal || !(again || this.connection.isQueued(frame))) reject(error);
          }
        },
        probe: `{${EMIT_PROBE}}`,
        prefix: SYSTEM,
      },
      options,
    );
  }

  get id(): string | undefined {
    return this.#session.id;
  }

  #resumes(): boolean {
    return this.connection.options.reconnect && this.#options.resume !== false;
  }

  /** The server answers this request behind everything that was sent before it. */
  #handled(): Promise<unknown> {
    return new Promise<void>((done) => {
      const id = `${++this.#lastId}`;
      const resolve = () => {
        this.#pending.delete(id);
        done();
      };
      const frame = this.#text({ event: "@alive", ackId: id });
      this.#pending.set(id, { resolve, reject: resolve, frame });
      this.connection.send(frame, true);
    });
  }

  #ready(resumed: boolean): void {
    const repeated = [...this.#pending.values()].filter(({ frame, again }) => again && !this.connection.isQueued(frame));
    // The first message after a resume, so that the missed messages arrive before new ones.
    const handshake = resumed ? [encode({ event: "@resume", data: this.#session.positions() })] : [];
    this.connection.ready("@connection", { resumed }, handshake, resumed);
    for (const { frame } of repeated) this.connection.send(frame, true);
  }

  emit(event: string, data: unknown, volatile: boolean | undefined): boolean {
    const valid = validated(event, data, schemaOf(this.#options.schemas?.emits, event));
    return this.connection.send(this.#frame(event, valid), volatile);
  }

  async history(room: string, options?: HistoryOptions): Promise<RoomHistory> {
    checkOptions(options, historyOptions());
    check("the room", room, STRING);
    const { before, after, limit, ...call } = options ?? {};
    const history = (await this.request(HISTORY, { room, before, after, limit }, call)) as RoomHistory;
    if (!before && !after) this.#session.hasRead(history.room, { epoch: history.epoch, offset: history.top });
    return history;
  }

  request(event: string, data: unknown, options: RequestOptions | undefined): Promise<unknown> {
    const timeout = this.#options.requestTimeout ?? 10_000;
    const wait = { subject: `reply to ${event}`, timeout, options, known: REQUEST_OPTIONS };
    return withTimeout<unknown, RequestOptions>(wait, (resolve, reject) => {
      const schemas = schemaOf(this.#options.schemas?.requests, event);
      const id = `${++this.#lastId}`;
      const frame = this.#frame(event, validated(event, data, schemas?.data), id);
      if (!this.connection.send(frame, true)) throw this.connection.notConnected();
      const settle = (reply: unknown) => {
        const refusal = refusedErrorFrom(reply);
        if (refusal) throw refusal;
        resolve(validated(event, reply, schemas?.reply));
      };
      this.#pending.set(id, { resolve: settle, reject, frame, again: options?.idempotent });
      return () => this.#pending.delete(id);
    });
  }

  /** Sets the handler of an event; returns a function that removes it. */
  handle(event: string, handler: Handler): () => void {
    check("the event name", event, STRING);
    check(`the handler of ${event}`, handler, FUNCTION);
    this.#handlers.set(event, handler);
    return () => {
      if (this.#handlers.get(event) === handler) this.#handlers.delete(event);
    };
  }

  /** Shows the next token on the open connection. A refusal is reported. */
  #identify(token: string): void {
    const resolve = (reply: unknown) => this.#identified(reply);
    // Only one is pending: tokens are replaced one after another.
    const frame = this.#text({ event: IDENTIFY, data: { token }, ackId: IDENTIFY });
    this.#pending.set(IDENTIFY, { resolve, reject: () => {}, frame });
    this.connection.send(frame, true);
  }

  #frame(event: string, data: unknown, ackId?: string): string {
    if (event !== HISTORY) checkEventName(event, SYSTEM);
    return this.#text({ event, data, ackId });
  }

  #text(frame: JsonObject): string {
    const text = encode(frame);
    const { messageBytesMax = 1_048_576 } = this.#options;
    // UTF-8 needs at most three bytes per UTF-16 unit, so most messages need no exact count.
    if (text.length * 3 > messageBytesMax) {
      checkSize("the message", byteLength(text), "bytes", "messageBytesMax", messageBytesMax);
    }
    return text;
  }

  #receive(message: JsonObject): boolean | void {
    const { type, event, data, ackId } = message;
    if (type === "ack") return this.#settle(ackId, data);
    // Types of later versions are ignored.
    if (type) return;
    if (typeof event !== "string" || !event) return false;
    if (event.startsWith(SYSTEM)) return this.#notice(event, data);
    if (!this.#session.isNew(message, (gap) => this.connection.listeners.call("@gap", gap))) return;
    const { listeners } = this.connection;
    const { room, position } = message;
    listeners.call("@any", { event, data, room, position });
    const handler = ackId ? this.#handlers.get(event) : undefined;
    if (handler) void this.#reply(event, data, ackId, handler);
    listeners.call(event, validated(event, data, schemaOf(this.#options.schemas?.events, event)));
  }

  /** Handles an event of the server itself. Returns false if it is none. */
  #notice(event: string, data: unknown): boolean {
    if (event === "@session") {
      const { isAwaited } = this.#session;
      const resumed = this.#session.begin(data);
      if (isAwaited) this.#ready(resumed);
    } else if (/^@(left|recovered|gap|joined|refused)$/.test(event)) {
      if (event === "@recovered") this.#session.recovered(data);
      if (event === "@joined") this.#session.joined(data);
      if (!this.connection.listeners.call(event, data) && event === "@refused") warnRefused(data);
    } else if (event === "@identified") this.#identified(data);
    else if (event === "@goaway") this.connection.goAway(Object(data) as JsonObject);
    else return false;
    return true;
  }

  #identified(answer: unknown): void {
    const refusal = refusedErrorFrom(answer);
    if (!refusal) return;
    const reason = refusal.serverCode;
    const why = `the server refused the token: ${reason}`;
    const error = refusal instanceof RateLimitedError ? refusal : new AuthenticationFailedError(why, { closeCode: 0, reason }, refusal);
    // No promise carries it, so without a listener the console shows it.
    if (!this.connection.listeners.report(error)) console.error(error);
  }

  #settle(ackId: unknown, reply: unknown): void {
    const pending = this.#pending.get(ackId);
    try {
      pending?.resolve(reply);
    } catch (error) {
      pending?.reject(error);
    }
  }

  /** Runs a handler and sends its reply. If the handler fails, the server's request times out. */
  async #reply(event: string, request: unknown, ackId: unknown, handler: Handler): Promise<void> {
    const epoch = this.#epoch;
    const schemas = schemaOf(this.#options.schemas?.serverRequests, event);
    this.#handlersInFlight++;
    try {
      if (this.#handlersInFlight > HANDLERS_IN_FLIGHT_MAX) throw new Error(`${HANDLERS_IN_FLIGHT_MAX} requests of the server are in progress`);
      const data = await handler(validated(event, request, schemas?.data) as never);
      const reply = this.#text({ type: "ack", ackId, data: validated(event, data, schemas?.reply) ?? null });
      // Request ids are per connection; on a later one the reply would match another request.
      if (epoch === this.#epoch) this.connection.send(reply, true);
    } catch (error) {
      const known = error instanceof SwitchboardError;
      this.connection.listeners.report(known ? error : listenerError(event, error));
    } finally {
      this.#handlersInFlight--;
    }
  }
}
