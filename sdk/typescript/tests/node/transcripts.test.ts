/**
 * The transcripts of the protocols, played by these clients against the real server.
 *
 * What a client can say by its calls it says so, and what went over the wire is compared with the
 * line; lines that no call can make, such as broken frames, go to its socket. What comes is compared
 * on the wire and, where it has a meaning for the program, at the client.
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
import { stepsOf, Texts, type Step } from "../support/transcript.js";

type Frame = Record<string, unknown>;

/** A client in a transcript. */
interface Player {
  readonly tap: RecordingSocket;
  open(path: string): Promise<void>;
  /** Sends by a call of the client what one can say; false if none can. */
  say(frame: Frame): boolean;
  /** Looks at what the client made of a frame that was received. */
  check(frame: Frame): Promise<void>;
  /** The frame with the ids of the transcript, if it is one that begins like `kind`. */
  onWire(text: string, kind: string): string;
  close(): Promise<void>;
}

class EmitPlayer implements Player {
  readonly tap = new RecordingSocket();
  readonly #events = new ReceiveQueue<unknown>();
  readonly #replies = new Map<string, Promise<unknown>>();
  readonly #answers = new Map<string, (reply: unknown) => void>();
  readonly #ids: [ours: string, theirs: string][] = [];
  #client: EmitClient | undefined;

  constructor(readonly url: string) {}

  async open(path: string): Promise<void> {
    this.#client = await EmitClient.connect(this.url, { WebSocket: this.tap.classFor(this.url + path) });
    this.#client.on("@any", this.#events.put);
  }

  say({ event, data, ackId, type, ...rest }: Frame): boolean {
    if (type === "ack" && typeof ackId === "string" && this.#answers.has(ackId)) {
      this.#answers.get(ackId)?.(data);
      return true;
    }
    if (type !== undefined || Object.keys(rest).length || typeof event !== "string") return false;
    if (!event || event.startsWith("@") || event.length > 256) return false;
    if (ackId === undefined) this.#client?.emit(event, data);
    else if (typeof ackId === "string" && ackId) {
      const { sent } = this.tap;
      const reply = this.#client?.request(event, data) ?? Promise.reject(new Error("no client"));
      const frame = JSON.parse(sent.waiting.at(-1) ?? "{}") as Frame;
      this.#ids.push([JSON.stringify(frame["ackId"]), JSON.stringify(ackId)]);
      this.#replies.set(ackId, reply.catch((error: unknown) => error));
    } else return false;
    return true;
  }

  onWire(text: string, kind: string): string {
    // The server's own requests have ids of their own.
    if (!text.startsWith(kind)) return text;
    return this.#ids.reduce((line, [ours, theirs]) => line.replace(`"ackId":${ours}`, `"ackId":${theirs}`), text);
  }

  async check({ event, data, ackId, type }: Frame): Promise<void> {
    if (type !== "ack") expect(await this.#events.next()).toEqual({ event, data });
    else if (this.#replies.has(ackId as string)) {
      const reply = await this.#replies.get(ackId as string);
      const { error, code } = data as Frame;
      if (error !== undefined && code !== undefined) expect(reply).toMatchObject({ code: "refused", serverCode: code });
      else expect(reply).toEqual(data);
    }
  }

  /** The server serverRequests: the answer is given by a later line. */
  expectQuestion(event: string, ackId: string): void {
    this.#client?.handle(event, () => new Promise<unknown>((resolve) => this.#answers.set(ackId, resolve)));
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }
}

class KojiPlayer implements Player {
  readonly tap = new RecordingSocket();
  readonly #events = new ReceiveQueue<unknown>();
  readonly #listening = new Set<string>();
  #dispatch: Dispatch | undefined;

  constructor(readonly url: string) {}

  async open(path: string): Promise<void> {
    const WebSocket = this.tap.classFor(this.url + path);
    const options = { WebSocket, reconnect: false, watchdogInterval: 0 };
    this.#dispatch = new Dispatch({ projectId: "of the transcript", host: this.url, options });
    this.#listening.clear();
    const connected = await rejectionCode(this.#dispatch.connect());
    // A refusal is what the next line says.
    if (connected === "connect_failed") this.#dispatch = undefined;
  }

  say({ eventName, payload, recipients, ...rest }: Frame): boolean {
    if (!this.#dispatch || Object.keys(rest).length || typeof eventName !== "string") return false;
    if (eventName.startsWith("@@KOJI_DISPATCH/") && recipients !== undefined) return false;
    if (eventName === DISPATCH_EVENT.SET_USER_INFO && isObject(payload) && JSON.stringify(payload).length < 16_000) {
      this.#dispatch.setUserInfo(payload);
    } else if (eventName === DISPATCH_EVENT.IDENTIFY && isObject(payload) && typeof payload["token"] === "string") {
      this.#dispatch.identify(payload["token"]);
    } else {
      const to = Array.isArray(recipients) || ["string", "undefined"].includes(typeof recipients);
      const isOurs = eventName.startsWith("@@KOJI_DISPATCH/") || !eventName || eventName.length > 256;
      if (!to || isOurs || JSON.stringify(payload ?? null).length > 100_000) return false;
      this.#dispatch.emitEvent(eventName, payload, recipients as string[] | undefined);
    }
    return true;
  }

  onWire(text: string): string {
    return text;
  }

  /** Called before the frame can come. */
  listenFor(eventName: string): void {
    if (this.#listening.has(eventName) || eventName.startsWith("@@KOJI_DISPATCH/")) return;
    this.#listening.add(eventName);
    this.#dispatch?.on<unknown>(eventName, (payload, metadata) => this.#events.put({ eventName, payload, metadata }));
  }

  async check({ eventName, payload, latencyMs }: Frame): Promise<void> {
    const members = isObject(payload) ? payload : {};
    if (eventName === DISPATCH_EVENT.CONNECTED) expect(this.#dispatch?.connectionInfo).toEqual(payload);
    else if (eventName === DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED && !this.tap.received.waiting.length) {
      const list = members["connectedClients"] as Record<string, object>;
      // That of a list which is no news may be older.
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
  // The client answers every heartbeat at once; the transcripts leave some without an answer.
  readonly tap = new RecordingSocket('{"op":11,"d":{}}');
  readonly #messages = new ReceiveQueue<Message>();
  /** What calls of `authenticate` that are not answered became, in their order. */
  readonly #logins: Promise<unknown>[] = [];
  #client: Client | undefined;

  constructor(readonly url: string) {}

  async open(path: string): Promise<void> {
    this.tap.socket = undefined;
    const WebSocket = this.tap.classFor(this.url + path);
    this.#client = new Client(this.url, { WebSocket, reconnect: false, watchdogInterval: 0 });
    this.#client.on("message", this.#messages.put);
    this.#logins.length = 0;
    // Not until hello: a transcript may say something before that.
    const socket = await vi.waitUntil(() => this.tap.socket, { timeout: 15_000 });
    if (socket.readyState === 0) await once(socket, "open");
  }

  say({ op, d, t, ...rest }: Frame): boolean {
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

/** Plays one file from top to bottom; returns how many lines were said by calls. */
async function play(name: string, make: (path: string) => Player): Promise<number> {
  const texts = new Texts();
  const players = new Map<string, Player>();
  const steps = stepsOf(readFileSync(`${TRANSCRIPTS}/${name}`, "utf8"));
  let saidByCalls = 0;
  for (const step of steps) {
    const { client, sends, verb, text, line } = step;
    const player = players.get(client) ?? make(verb === "open" ? text : "/");
    const isNew = !players.has(client) || (verb === "open" && player.tap.socket?.readyState !== 1);
    players.set(client, player);
    if (verb === "open") await player.open(texts.filled(text));
    else if (isNew) await player.open("/");
    if (verb === "open") continue;
    const own = steps.filter((each) => each.client === client);
    if (player instanceof KojiPlayer) for (const { eventName } of own.flatMap(expected(texts))) player.listenFor(String(eventName));
    if (player instanceof EmitPlayer) {
      for (const { event, ackId } of own.flatMap(expected(texts))) {
        if (typeof event === "string" && typeof ackId === "string") player.expectQuestion(event, ackId);
      }
    }
    if (sends) saidByCalls += Number(await send(player, step, texts));
    else await receive(player, step, texts, `${name}:${line}`);
  }
  for (const [client, { tap }] of players) {
    expect(await tap.isQuiet(), `${name}: ${client} has nothing left to read, but ${tap.received.waiting}`).toBe(true);
  }
  await Promise.all([...players.values()].map((player) => player.close()));
  return saidByCalls;
}

/** What a line says will come, if that is a frame. */
function expected(texts: Texts): (step: Step) => Frame[] {
  return ({ sends, verb, text }) => (sends || verb ? [] : [JSON.parse(texts.filled(text)) as Frame]);
}

async function send(player: Player, { verb, text }: Step, texts: Texts): Promise<boolean> {
  const { tap } = player;
  if (verb === "close") {
    // No call says any other code.
    if (["", "1000"].includes(text)) await player.close();
    else tap.socket?.close(Number(text));
    return true;
  }
  const filled = texts.filled(text);
  if (verb === undefined) {
    const frame = sayable(filled);
    const before = tap.sent.waiting.length;
    if (frame && player.say(frame)) {
      // An answer is sent when its promise is settled.
      while (tap.sent.waiting.length === before) await Promise.resolve();
      expect(JSON.parse(player.onWire(tap.sent.waiting.at(-1) ?? "", `{"event"`))).toEqual(frame);
      return true;
    }
  }
  tap.sendRaw(verb === "bin" ? Buffer.from(filled) : filled);
  return false;
}

async function receive(player: Player, { verb, text }: Step, texts: Texts, where: string): Promise<void> {
  const received = await player.tap.received.next();
  if (verb) return expect(received, where).toBe(`[${verb} ${text}]`);
  const translated = player.onWire(received, `{"type":"ack"`);
  texts.match(text, translated, where);
  await player.check(JSON.parse(translated) as Frame);
}

/** The frame, if a client's own JSON would be the same: not with other numbers, members twice, … */
function sayable(text: string): Frame | undefined {
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
  { folder: "emit", start: () => startServer(), make: (url: string): Player => new EmitPlayer(url), leastCalls: undefined },
  {
    folder: "koji",
    start: () => startServer({ command: "serve", config: `${TRANSCRIPTS}/koji/settings.toml` }),
    make: (url: string): Player => new KojiPlayer(url),
    leastCalls: undefined,
  },
  ...["mesa", "mesa-defaults", "mesa-heartbeats", "mesa-nobody", "mesa-required", "mesa-versions"].map((folder) => ({
    folder,
    start: () => {
      const inbox = join(mkdtempSync(join(tmpdir(), "switchboard-")), "inbox.redb");
      return startServer({ config: `${TRANSCRIPTS}/${folder}/settings.toml`, settings: [`inbox.path=${inbox}`] });
    },
    // Others who are in these are emit clients.
    make: (url: string, path: string): Player => {
      return /^\/mesa(\/|\?|$)/.test(path) ? new MesaPlayer(url) : new EmitPlayer(url);
    },
    // The others are short, and no call of a client answers heartbeats or sends them.
    leastCalls: folder === "mesa" ? undefined : ["mesa-defaults", "mesa-heartbeats"].includes(folder) ? 0 : 2,
  })),
])("the transcripts of $folder", ({ folder, start, make, leastCalls = 41 }) => {
  let server: Server;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());

  let saidByCalls = 0;
  test.each(files(folder))("%s", async (name) => {
    saidByCalls += await play(`${folder}/${name}`, (path) => make(server.url, path));
  });

  test("were said by calls where there is one", () => {
    expect(saidByCalls).toBeGreaterThanOrEqual(leastCalls);
  });
});
