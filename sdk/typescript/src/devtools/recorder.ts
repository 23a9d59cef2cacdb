/**
 * Records the frames and the states of WebSockets. The sockets behave as without it.
 */

import type { WebSocketClass } from "../core/options.js";
import type { Unchecked } from "../core/unchecked.js";
import { FRAME_CHARACTERS_MAX, type Log } from "./log.js";
import { addressWithoutSecrets, Meanings, withoutSecrets } from "./meaning.js";

/** What the close codes mean that browsers and servers use. */
const CLOSE_MEANINGS: Record<number, string> = {
  1000: "normal",
  1001: "going away",
  1002: "protocol error",
  1003: "unsupported data",
  1005: "no code",
  1006: "no close frame: refused, unreachable or cut",
  1007: "invalid data",
  1008: "policy violation: rejected token or too many messages",
  1009: "message too big",
  1011: "internal error",
  1012: "server restarts",
  1013: "try again later: too slow or no free seat",
};

/** The classes that `recording` has made. */
const recordingClasses = new WeakSet<object>();

const encoder = new TextEncoder();

export function isRecording(socketClass: object): boolean {
  return recordingClasses.has(socketClass);
}

/** A class whose sockets behave as those of `Base`, and are recorded in the log. */
export function recording<Class extends WebSocketClass>(Base: Class, log: Log): Class {
  // A subclass keeps the constants, `instanceof` and the methods of the original. Mixins need this signature.
  const Open = Base as unknown as new (...values: Unchecked[]) => WebSocket;
  class RecordedWebSocket extends Open {
    readonly #line: Line;

    constructor(...values: Unchecked[]) {
      super(...values);
      this.#line = new Line(log, `${values[0]}`);
      this.addEventListener?.("open", () => this.#line.opened());
      this.addEventListener?.("message", ({ data }: MessageEvent) => this.#line.frame("in", data));
      this.addEventListener?.("close", ({ code, reason }: CloseEvent) => this.#line.closed(code, `${reason ?? ""}`));
    }

    override send(data: Parameters<WebSocket["send"]>[0]): void {
      // A send that throws, because the socket is still connecting, is not recorded.
      super.send(data);
      if (this.readyState === 1) this.#line.frame("out", data);
    }
  }
  // Bundlers rename classes.
  Object.defineProperty(RecordedWebSocket, "name", { value: Base.name });
  recordingClasses.add(RecordedWebSocket);
  return RecordedWebSocket as unknown as Class;
}

/** One connection. */
class Line {
  readonly #meanings = new Meanings();
  readonly #startedAt = performance.now();

  constructor(
    readonly log: Log,
    address: string,
  ) {
    this.#state("connecting", `connecting to ${addressWithoutSecrets(address)}`);
  }

  opened(): void {
    this.#state("open", "open", `after ${Math.round(performance.now() - this.#startedAt)} ms`);
  }

  closed(code: number, reason: string): void {
    const meaning = CLOSE_MEANINGS[code] ?? (code >= 3000 ? "a code of the application" : "");
    this.#state("closed", `closed ${code}`, [meaning, reason && JSON.stringify(reason)].filter(Boolean).join(" · "));
  }

  frame(direction: "out" | "in", data: unknown): void {
    const whole = textOf(data);
    const text = withoutSecrets(whole);
    const kept = text.slice(0, FRAME_CHARACTERS_MAX);
    this.log.add({
      kind: "frame",
      direction,
      at: new Date(),
      text: kept,
      bytes: typeof data === "string" ? encoder.encode(data).length : sizeOf(data),
      cut: text.length - kept.length,
      ...this.#meanings.of(direction, text),
    });
  }

  #state(state: "connecting" | "open" | "closed", title: string, detail = ""): void {
    this.log.add({ kind: "state", state, line: this, at: new Date(), title, detail });
  }
}

function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return new TextDecoder().decode(data);
  return "binary data";
}

function sizeOf(data: unknown): number {
  const { byteLength, size } = Object(data) as { byteLength?: number; size?: number };
  return byteLength ?? size ?? 0;
}
