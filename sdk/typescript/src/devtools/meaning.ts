/**
 * What a frame means in the three protocols: its name, its data, and the request that it answers.
 */

/** The meaning of a frame. */
export interface FrameMeaning {
  /** The name of the event or message; a reply has the name of its request. */
  readonly title: string;
  /** What the frame is besides an event, such as `reply`; may be empty. */
  readonly role: string;
  /** Data on one line, in JSON. */
  readonly preview: string;
  /** It only keeps the connection alive, or measures it. */
  readonly isPing: boolean;
  /** Milliseconds between the request and this reply. */
  readonly latencyMs: number | undefined;
}

interface PendingRequest {
  readonly title: string;
  readonly isPing: boolean;
  readonly at: number;
}

/** Requests without a reply that are remembered; older ones are forgotten. */
const PENDING_MAX = 200;

const PREVIEW_CHARACTERS_MAX = 160;

/** Events that applications use as pings, and the probe of the emit client. */
const PINGS = ["/ping", "ping", "@ping", "@alive"];

/** The role of a refusal. */
export const REFUSAL = "refused";

const REFUSED = "@refused";
const KOJI_REFUSED = "@@SWITCHBOARD/refused";
const KOJI_PLATFORM = /^@@(?:KOJI_DISPATCH|SWITCHBOARD)\//;

const MESA_OPERATIONS: Record<number, string> = {
  1: "heartbeat",
  2: "authenticate",
  10: "hello",
  11: "heartbeat ack",
  22: "authenticated",
};

/** Secrets in a frame: they are never recorded. */
const SECRETS = /("(?:token|authorization|password|secret|ticket)"\s*:\s*")(?:[^"\\]|\\.)*(")/gi;

/** Replaces tokens and passwords in a frame. */
export function withoutSecrets(text: string): string {
  return text.replace(SECRETS, "$1…$2");
}

/** Replaces the values of all parameters in an address, because a token may be among them. */
export function addressWithoutSecrets(address: string): string {
  return address.replace(/([?&](?:token|authorization|access_token|ticket)=)[^&#]*/gi, "$1…");
}

/** Finds the meaning of the frames of one connection, and matches replies to requests. */
export class Meanings {
  /** By direction and id. */
  readonly #pending = new Map<string, PendingRequest>();

  /** `text` has no secrets. */
  of(direction: "out" | "in", text: string): FrameMeaning {
    const value = parse(text);
    if (value === undefined) return unnamed("not JSON", text);
    if (typeof value["eventName"] === "string") return kojiMeaning(value["eventName"], value);
    if (typeof value["op"] === "number") return mesaMeaning(value["op"], value);
    return this.#emit(direction, value, text);
  }

  #emit(direction: "out" | "in", { type, event, data, ackId }: Record<string, unknown>, text: string): FrameMeaning {
    const other = direction === "out" ? "in" : "out";
    if (type === "ack") {
      const key = `${other} ${JSON.stringify(ackId)}`;
      const request = this.#pending.get(key);
      this.#pending.delete(key);
      const latencyMs = request && performance.now() - request.at;
      return { ...meaning(request?.title ?? "", "reply", data), isPing: !!request?.isPing, latencyMs };
    }
    if (typeof event !== "string") return unnamed("JSON", text);
    const isPing = PINGS.includes(event);
    if (ackId) {
      this.#pending.set(`${direction} ${JSON.stringify(ackId)}`, { title: event, isPing, at: performance.now() });
      const [oldest] = this.#pending.keys();
      if (this.#pending.size > PENDING_MAX && oldest !== undefined) this.#pending.delete(oldest);
    }
    if (event === REFUSED) return refusal(data);
    return { ...meaning(event, ackId ? "request" : "", data), isPing };
  }
}

function kojiMeaning(eventName: string, { payload }: Record<string, unknown>): FrameMeaning {
  const title = eventName.replace(KOJI_PLATFORM, "");
  if (eventName === KOJI_REFUSED) return refusal(payload);
  return meaning(title, title === eventName ? "" : "platform", payload);
}

/** The server has refused the event that the data names. */
function refusal(data: unknown): FrameMeaning {
  const { event, eventName, error } = Object(data) as Record<string, unknown>;
  return meaning(`${event ?? eventName ?? ""}`, REFUSAL, error);
}

function mesaMeaning(op: number, { d, t, s }: Record<string, unknown>): FrameMeaning {
  const name = MESA_OPERATIONS[op];
  const role = name ? `op ${op}` : typeof s === "number" ? "redelivered" : "";
  const title = name ?? (typeof t === "string" && t ? t : `op ${op}`);
  return { ...meaning(title, role, d), isPing: op === 1 || op === 11 };
}

function meaning(title: string, role: string, data: unknown): FrameMeaning {
  return unnamed(title, JSON.stringify(data) ?? "", role);
}

/** A frame of none of the protocols. */
function unnamed(title: string, text: string, role = ""): FrameMeaning {
  return { title, role, preview: text.slice(0, PREVIEW_CHARACTERS_MAX), isPing: false, latencyMs: undefined };
}

/** The object in a frame; undefined if there is none. */
function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Object(value) === value ? (value as Record<string, unknown>) : {};
  } catch {
    return undefined;
  }
}
