/**
 * The transcripts of the protocols, played by these clients against the real server.
 *
 * A line that a public method can produce is sent by that method, and the bytes on the wire are compared
 * with the line. Other lines, such as malformed frames, are written to the socket. Received frames are
 * compared on the wire and, if the client exposes them, at the client.
 */

import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT } from "../../src/dispatch/index.js";
import { Client, Message } from "../../src/mesa/index.js";
import { rejectionCode } from "../support/errorCode.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer, TRANSCRIPTS, type Server } from "../support/server.js";
import { RecordingSocket } from "../support/recordingSocket.js";
import { stepsOf, Placeholders, type Step } from "../support/transcript.js";

type Frame = Record<string, unknown>;

/** A client of a transcript. */
interface Player {
  readonly recorder: RecordingSocket;
  open(path: string): Promise<void>;
  /** Sends the frame with a public method; returns false if no method can produce it. */
  sendWithMethod(frame: Frame): boolean;
  /** Compares the client's result for a received frame. */
  check(frame: Frame): Promise<void>;
  /** Returns the frame with the ids of the transcript if it begins with `kind`. */
  onWire(text: string, kind: string): string;
  close(): Promise<void>;
}

class EmitPlayer implements Player {
  readonly recorder = new RecordingSocket();
  readonly #events = new ReceiveQueue<unknown>();
  readonly #replies = new Map<string, Promise<unknown>>();
  readonly #answers = new Map<string, (reply: unknown) => void>();
  readonly #ids: [ours: string, theirs: string][] = [];
  #client: EmitClient | undefined;

  constructor(readonly url: string) {}

  async open(path: string): Promise<void> {
    this.#client = await EmitClient.connect(this.url, { WebSocket: this.recorder.classFor(this.url + path) });
    this.#client.on("@any", this.#events.put);
    this.#client.on("@refused", (data) => this.#events.put({ event: "@refused", data }));
  }

  sendWithMethod({ event, data, ackId, type, ...rest }: Frame): boolean {
    if (type === "ack" && typeof ackId === "string" && this.#answers.has(ackId)) {
      this.#answers.get(ackId)?.(data);
      return true;
    }
    if (type !== undefined || Object.keys(rest).length || typeof event !== "string") return false;
    if (!event || event.startsWith("@") || event.length > 256) return false;
    if (ackId === undefined) this.#client?.emit(event, data);
    else if (typeof ackId === "string" && ackId) {
      const { sent } = this.recorder;
      const reply = this.#client?.request(event, data) ?? Promise.reject(new Error("no client"));
      const frame = JSON.parse(sent.pending.at(-1) ?? "{}") as Frame;
      this.#ids.push([JSON.stringify(frame["ackId"]), JSON.stringify(ackId)]);
      this.#replies.set(ackId, reply.catch((error: unknown) => error));
    } else return false;
    return true;
  }

  onWire(text: string, kind: string): string {
    // Requests of the server keep their ids.
    if (!text.startsWith(kind)) return text;
    return this.#ids.reduce((line, [ours, theirs]) => line.replace(`"ackId":${ours}`, `"ackId":${theirs}`), text);
  }

  async check({ event, data, ackId, type }: Frame): Promise<void> {
    if (type !== "ack") expect(await this.#events.next()).toEqual({ event, data });
    else if (this.#replies.has(ackId as string)) {
      const reply = await this.#replies.get(ackId as string);
      const { error, code } = data as Frame;
      if (error !== undefined && code !== undefined) expect(reply).toMatchObject({ code: "refused", serverCode: code });
      else if (/^No handler for: /.test(String(error))) expect(reply).toMatchObject({ code: "no_handler", message: error });
      else expect(reply).toEqual(data);
    }
  }

  /** Registers a handler for a server request; a later line of the transcript supplies the reply. */
  expectQuestion(event: string, ackId: string): void {
    this.#client?.handle(event, () => new Promise<unknown>((resolve) => this.#answers.set(ackId, resolve)));
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }
}

class KojiPlayer implements Player {
  readonly recorder = new RecordingSocket();
  readonly #events = new ReceiveQueue<unknown>();
  readonly #listening = new Set<string>();
  #dispatch: Dispatch | undefined;

  constructor(readonly url: string) {}

  async open(path: string): Promise<void> {
    const WebSocket = this.recorder.classFor(this.url + path);
    const options = { WebSocket, reconnect: false, watchdogInterval: 0 };
    this.#dispatch = new Dispatch({ projectId: "of the transcript", host: this.url, options });
    this.#listening.clear();
    const connected = await rejectionCode(this.#dispatch.connect());
    // The next line may expect a refused upgrade.
    if (connected === "connect_failed") this.#dispatch = undefined;
  }

  sendWithMethod({ eventName, payload, recipients, ...rest }: Frame): boolean {
    if (!this.#dispatch || Object.keys(rest).length || typeof eventName !== "string") return false;
    if (eventName.startsWith("@@KOJI_DISPATCH/") && recipients !== undefined) return false;
    if (eventName === DISPATCH_EVENT.SET_USER_INFO && isObject(payload) && JSON.stringify(payload).length < 16_000) {
      this.#dispatch.setUserInfo(payload);
    } else if (eventName === DISPATCH_EVENT.IDENTIFY && isObject(payload) && typeof payload["token"] === "string") {
      this.#dispatch.identify(payload["token"]);
    } else {
      // The client rejects recipients of other types.
      const to = [recipients ?? []].flat().every((id) => typeof id === "string") && recipients !== null;
      const isOurs = eventName.startsWith("@@KOJI_DISPATCH/") || !eventName || eventName.length > 256;
      if (!to || isOurs || JSON.stringify(payload ?? null).length > 100_000) return false;
      this.#dispatch.emitEvent(eventName, payload, recipients as string[] | undefined);
    }
    return true;
  }

  onWire(text: string): string {
    return text;
  }

  /** Called before the frame can arrive. */
  listenFor(eventName: string): void {
    // The client handles these itself.
    const isOwn = eventName.startsWith("@@KOJI_DISPATCH/") || eventName === "@@SWITCHBOARD/session";
    if (isOwn || this.#listening.has(eventName)) return;
    this.#listening.add(eventName);
    this.#dispatch?.on(eventName, (payload: unknown, metadata) => this.#events.put({ eventName, payload, metadata }));
  }

  async check({ eventName, payload, latencyMs }: Frame): Promise<void> {
    const members = isObject(payload) ? payload : {};
    if (eventName === DISPATCH_EVENT.CONNECTED) expect(this.#dispatch?.connectionInfo).toEqual(payload);
    else if (eventName === DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED && !this.recorder.received.pending.length) {
      const list = members["connectedClients"] as Record<string, object>;
      // The client ignores a list with the current version, so its time may be older.
      const lastPing = expect.any(Number) as number;
      const expected = Object.entries(list).map(([clientId, entry]) => ({ clientId, ...entry, lastPing }));
      expect(this.#dispatch?.connectedClients).toEqual(expected);
    } else if (this.#listening.has(String(eventName))) {
      const metadata = { latencyMs, clientId: members["__clientId"], timestamp: members["__timestamp"] };
      expect(await this.#events.next()).toEqual({ eventName, payload, metadata });
    }
  }

  async close(): Promise<void> {
    await this.#dispatch?.disconnect();
  }
}

class MesaPlayer implements Player {
  // The client answers every heartbeat at once; some transcripts leave them unanswered.
  readonly recorder = new RecordingSocket('{"op":11,"d":{}}');
  readonly #messages = new ReceiveQueue<Message>();
  /** The results of pending `authenticate` calls, in order. */
  readonly #logins: Promise<unknown>[] = [];
  #client: Client | undefined;

  constructor(readonly url: string) {}

  async open(path: string): Promise<void> {
    this.recorder.socket = undefined;
    const WebSocket = this.recorder.classFor(this.url + path);
    this.#client = new Client(this.url, { WebSocket, reconnect: false, watchdogInterval: 0 });
    this.#client.on("message", this.#messages.put);
    this.#logins.length = 0;
    // Do not wait for hello: a transcript may send messages before it.
    const socket = await vi.waitUntil(() => this.recorder.socket, { timeout: 15_000 });
    if (socket.readyState === 0) await once(socket, "open");
  }

  sendWithMethod({ op, d, t, ...rest }: Frame): boolean {
    if (this.#client?.state !== "connected" || Object.keys(rest).length || !isObject(d)) return false;
    const { token, shouldSync, ...more } = d;
    if (op === 0 && typeof t === "string" && t && t.length < 256 && JSON.stringify(d).length < 1_000_000) {
      this.#client.send(new Message(0, d, t));
    } else if (op === 2 && typeof token === "string" && typeof shouldSync === "boolean" && !Object.keys(more).length) {
      this.#logins.push(rejectionCode(this.#client.authenticate({ token }, { shouldSync })));
    } else return false;
    return true;
  }

  onWire(text: string): string {
    return text;
  }

  async check({ op, d, t, s }: Frame): Promise<void> {
    if (op === 22 && this.#logins.length) expect(await this.#logins.shift()).toBe(`resolved: ${JSON.stringify(d)}`);
    if (op !== 0) return;
    const { opcode, data, type, sequence } = await this.#messages.next();
    expect({ op: opcode, d: data, t: type, s: sequence }).toEqual({ op, d, t, s });
  }

  async close(): Promise<void> {
    await this.#client?.disconnect();
  }
}

/** Plays one file from top to bottom; returns the number of lines that public methods sent. */
async function play(name: string, make: (path: string) => Player): Promise<number> {
  const placeholders = new Placeholders();
  const players = new Map<string, Player>();
  const steps = stepsOf(readFileSync(`${TRANSCRIPTS}/${name}`, "utf8"));
  let sentByMethods = 0;
  for (const step of steps) {
    const { client, sends, verb, text, line } = step;
    const player = players.get(client) ?? make(verb === "open" ? text : "/");
    const isNew = !players.has(client) || (verb === "open" && player.recorder.socket?.readyState !== 1);
    players.set(client, player);
    if (verb === "open") await player.open(placeholders.resolve(text));
    else if (isNew) await player.open("/");
    if (verb === "open") continue;
    const own = steps.filter((each) => each.client === client);
    if (player instanceof KojiPlayer) for (const { eventName } of own.flatMap(expected(placeholders))) player.listenFor(String(eventName));
    if (player instanceof EmitPlayer) {
      for (const { event, ackId } of own.flatMap(expected(placeholders))) {
        if (typeof event === "string" && typeof ackId === "string") player.expectQuestion(event, ackId);
      }
    }
    if (sends) sentByMethods += Number(await send(player, step, placeholders));
    else await receive(player, step, placeholders, `${name}:${line}`);
  }
  for (const [client, { recorder }] of players) {
    expect(await recorder.isQuiet(), `${name}: ${client} has nothing left to read, but ${recorder.received.pending}`).toBe(true);
  }
  await Promise.all([...players.values()].map((player) => player.close()));
  return sentByMethods;
}

/** The frame that a line expects, if it expects one. */
function expected(placeholders: Placeholders): (step: Step) => Frame[] {
  return ({ sends, verb, text }) => (sends || verb ? [] : [JSON.parse(placeholders.resolve(text)) as Frame]);
}

async function send(player: Player, { verb, text }: Step, placeholders: Placeholders): Promise<boolean> {
  const { recorder } = player;
  if (verb === "close") {
    // No method closes with another code.
    if (["", "1000"].includes(text)) await player.close();
    else recorder.socket?.close(Number(text));
    return true;
  }
  const resolved = placeholders.resolve(text);
  if (verb === undefined) {
    const frame = canonicalFrame(resolved);
    const before = recorder.sent.pending.length;
    if (frame && player.sendWithMethod(frame)) {
      // A reply is sent in a later microtask.
      while (recorder.sent.pending.length === before) await Promise.resolve();
      expect(JSON.parse(player.onWire(recorder.sent.pending.at(-1) ?? "", `{"event"`))).toEqual(frame);
      return true;
    }
  }
  recorder.sendRaw(verb === "bin" ? Buffer.from(resolved) : resolved);
  return false;
}

async function receive(player: Player, { verb, text }: Step, placeholders: Placeholders, where: string): Promise<void> {
  const received = await player.recorder.received.next();
  if (verb) return expect(received, where).toBe(`[${verb} ${text}]`);
  const translated = player.onWire(received, `{"type":"ack"`);
  placeholders.match(text, translated, where);
  await player.check(JSON.parse(translated) as Frame);
}

/** Returns the frame if re-encoding its JSON gives the same text; false for unusual numbers, duplicate members, … */
function canonicalFrame(text: string): Frame | undefined {
  try {
    const frame = JSON.parse(text) as unknown;
    return isObject(frame) && JSON.stringify(frame) === text ? frame : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Frame {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const files = (folder: string) => readdirSync(`${TRANSCRIPTS}/${folder}`).filter((name) => name.endsWith(".txt"));

describe.each([
  { folder: "emit", start: () => startServer(), make: (url: string): Player => new EmitPlayer(url), minSentByMethods: undefined },
  {
    folder: "koji",
    start: () => startServer({ command: "serve", config: `${TRANSCRIPTS}/koji/settings.toml` }),
    make: (url: string): Player => new KojiPlayer(url),
    minSentByMethods: undefined,
  },
  ...["mesa", "mesa-defaults", "mesa-heartbeats", "mesa-no-user-object", "mesa-required", "mesa-versions"].map((folder) => ({
    folder,
    start: () => {
      const inbox = join(mkdtempSync(join(tmpdir(), "switchboard-")), "inbox.redb");
      return startServer({ config: `${TRANSCRIPTS}/${folder}/settings.toml`, settings: [`inbox.path=${inbox}`] });
    },
    // Other clients in these transcripts are emit clients.
    make: (url: string, path: string): Player => {
      return /^\/mesa(\/|\?|$)/.test(path) ? new MesaPlayer(url) : new EmitPlayer(url);
    },
    // The others are short, and heartbeats have no public method.
    minSentByMethods: folder === "mesa" ? undefined : ["mesa-defaults", "mesa-heartbeats"].includes(folder) ? 0 : 2,
  })),
])("the transcripts of $folder", ({ folder, start, make, minSentByMethods = 41 }) => {
  let server: Server;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());

  let sentByMethods = 0;
  test.each(files(folder))("%s", async (name) => {
    sentByMethods += await play(`${folder}/${name}`, (path) => make(server.url, path));
  });

  test("used public methods for enough lines", () => {
    expect(sentByMethods).toBeGreaterThanOrEqual(minSentByMethods);
  });
});
