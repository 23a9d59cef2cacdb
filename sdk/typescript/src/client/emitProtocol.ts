/**
 * The emit protocol on one connection: requests that wait, listeners, and answers to the server.
 */

import { connection, type Connection } from "../core/connection.js";
import { within, type CallOptions } from "../core/timeout.js";
import { NotConnectedError, SwitchboardError } from "../core/errors.js";
import { byteLength, checkEventName, checkSize, encode, type JsonObject } from "../core/json.js";
import { listenerError } from "../core/listeners.js";
import { address, resolve } from "../core/options.js";
import type { EmitClientOptions } from "./options.js";
import { refusedErrorFrom } from "./refusedError.js";
import { validated } from "./schema.js";

/** Requests of the server that are worked on at once; one more gets no answer. */
const ANSWERS_MAX = 256;

/** Names with this are each side's own, and never sent. */
const SYSTEM = "@";

export type Handler = (data: never) => unknown;

interface Pending {
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class EmitProtocol {
  readonly connection: Connection;
  readonly handlers = new Map<string, Handler>();
  readonly #options: EmitClientOptions;
  readonly #pending = new Map<unknown, Pending>();
  #lastId = 0;
  #answering = 0;
  /** Counts connections. */
  #epoch = 0;

  constructor(url: string | URL, options: EmitClientOptions) {
    this.#options = options;
    const where = address(url);
    this.connection = connection(
      {
        url: (token) => {
          if (token !== undefined) where.searchParams.set(options.tokenParameter ?? "token", token);
          return where.href;
        },
        opened: () => this.connection.ready("@connection", {}, []),
        received: (message) => this.#receive(message),
        lost: (error) => {
          this.#epoch++;
          for (const { reject } of this.#pending.values()) reject(error);
        },
        // A name that no application can handle, so that the server itself answers.
        probe: `{"event":"@alive","ackId":"@alive"}`,
        prefix: SYSTEM,
      },
      resolve({ reconnect: false, maxRetries: 10 }, options),
    );
  }

  emit(event: string, data: unknown, volatile: boolean | undefined): boolean {
    const valid = validated(event, data, this.#options.schemas?.emits?.[event]);
    return this.connection.send(this.#frame(event, valid), volatile);
  }

  request(event: string, data: unknown, wait: CallOptions | undefined): Promise<unknown> {
    return within<unknown>(this.#options.requestTimeout ?? 10_000, wait, `reply to ${event}`, (resolve, reject) => {
      const schemas = this.#options.schemas?.requests?.[event];
      const id = `${++this.#lastId}`;
      const frame = this.#frame(event, validated(event, data, schemas?.data), id);
      if (!this.connection.send(frame, true)) throw new NotConnectedError("no connection");
      const settle = (reply: unknown) => {
        const refusal = refusedErrorFrom(reply);
        if (refusal) throw refusal;
        resolve(validated(event, reply, schemas?.reply));
      };
      this.#pending.set(id, { resolve: settle, reject });
      return () => this.#pending.delete(id);
    });
  }

  #frame(event: string, data: unknown, ackId?: string): string {
    checkEventName(event, SYSTEM);
    return this.#text({ event, data, ackId });
  }

  #text(frame: JsonObject): string {
    const text = encode(frame);
    const { messageBytesMax = 1_048_576 } = this.#options;
    // No text has more bytes than three times its units, so most need no counting.
    if (text.length * 3 > messageBytesMax) checkSize(byteLength(text), messageBytesMax);
    return text;
  }

  #receive({ type, event, data, ackId }: JsonObject): boolean | void {
    if (type === "ack") return this.#settle(ackId, data);
    // What later versions may add is passed over.
    if (type) return;
    if (typeof event !== "string" || !event || event.startsWith(SYSTEM)) return false;
    const { listeners } = this.connection;
    listeners.call("@any", { event, data });
    const handler = ackId ? this.handlers.get(event) : undefined;
    if (handler) void this.#answer(event, data, ackId, handler);
    listeners.call(event, validated(event, data, this.#options.schemas?.events?.[event]));
  }

  #settle(ackId: unknown, reply: unknown): void {
    const pending = this.#pending.get(ackId);
    try {
      pending?.resolve(reply);
    } catch (error) {
      pending?.reject(error);
    }
  }

  /** A handler that fails gives no answer: the server learns of it by its own time-out. */
  async #answer(event: string, question: unknown, ackId: unknown, handler: Handler): Promise<void> {
    const epoch = this.#epoch;
    const schemas = this.#options.schemas?.serverRequests?.[event];
    this.#answering++;
    try {
      if (this.#answering > ANSWERS_MAX) throw new Error("too many at once");
      const data = await handler(validated(event, question, schemas?.data) as never);
      const reply = this.#text({ type: "ack", ackId, data: validated(event, data, schemas?.reply) ?? null });
      // Ids are the connection's own: on the next one it would answer another question.
      if (epoch === this.#epoch) this.connection.send(reply, true);
    } catch (error) {
      const known = error instanceof SwitchboardError;
      this.connection.listeners.report(known ? error : listenerError(event, error));
    } finally {
      this.#answering--;
    }
  }
}
