/**
 * The messages of a room, kept and live, against the real server.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient, followRoom, type FollowOptions, type RoomMessage } from "../../src/client/index.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort, startServer, type Server } from "../support/server.js";
import { TcpProxy } from "../support/tcpProxy.js";

type Line = RoomMessage<{ n: number }>;

const settings = ["history.rooms.lobby.messages_max=100", "history.rooms.short.messages_max=2"];

let server: Server;
let sender: EmitClient;
const closing: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  server = await startServer({ command: "serve", settings });
  sender = await EmitClient.connect(server.url, { WebSocket });
});
afterAll(async () => {
  await sender.close();
  await server.stop();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Sends numbered messages to a room, and waits until the server has them. */
async function send(room: string, ...numbers: number[]): Promise<void> {
  for (const n of numbers) sender.emit("/message", { room, n });
  await sender.request("/ping", {});
}

/** A client behind a network that can be cut, which follows a room. */
async function follow(room: string, options: FollowOptions = {}, port = server.port) {
  const network = await TcpProxy.to(port);
  const client = await EmitClient.connect(`ws://127.0.0.1:${network.port}`, {
    WebSocket, reconnect: true, reconnectDelay: 20, maxReconnectDelay: 200, maxRetries: Infinity,
  });
  closing.push(() => network.close(), () => client.close());
  const lines = new ReceiveQueue<Line>();
  let count = 0;
  const pass = (line: Line) => {
    count++;
    lines.put(line);
  };
  const stop = await followRoom<{ n: number }>(client, room, pass, { join: () => client.request("/join", { room }), ...options });
  const numbers = async (count: number) => {
    const received: number[] = [];
    while (received.length < count) received.push((await lines.next()).data.n);
    return received;
  };
  return { client, network, lines, numbers, passed: () => count, stop };
}

test("kept messages precede live ones, each once and with its position", async () => {
  await send("lobby", 1, 2, 3);
  const { client, lines, passed, stop } = await follow("lobby", { limit: 2 });
  expect(client.id).toMatch(/^[0-9a-f-]{36}$/);
  expect(await lines.next()).toMatchObject({ event: "message", data: { n: 2 }, position: { offset: 2 }, isKept: true });
  expect((await lines.next()).data.n).toBe(3);
  await send("lobby", 4);
  expect(await lines.next()).toMatchObject({ data: { n: 4 }, position: { offset: 4 }, isKept: false });
  stop();
  await send("lobby", 5);
  const again = await follow("#lobby");
  expect(await again.numbers(5)).toEqual([1, 2, 3, 4, 5]);
  await client.request("/ping", {});
  expect(passed()).toBe(3);
});

test("messages that arrive while the history is read are neither lost nor doubled", async () => {
  const count = 60;
  const room = "lobby";
  const before = (await sender.history(room)).top;
  let isSent = false;
  const sending = (async () => {
    for (let n = 1; n <= count; n++) await send(room, n);
    isSent = true;
  })();
  while (!isSent) {
    const { lines } = await follow(room, { limit: 1 });
    let last: number | undefined;
    const top = (await sender.history(room)).top;
    while (last === undefined || last < top) {
      const { offset } = (await lines.next()).position;
      if (last !== undefined) expect(offset).toBe(last + 1);
      last = offset;
    }
  }
  await sending;
  expect((await sender.history(room)).top).toBe(before + count);
});

test("what was missed is passed after a resume, and read after a new session", async () => {
  const port = await freePort();
  const folder = await mkdtemp(joinPath(tmpdir(), "follow-"));
  closing.push(() => rm(folder, { recursive: true }));
  const kept = [...settings, `history.file=${folder}/history.redb`, "stop.window_ms=0"];
  let other = await startServer({ port, command: "serve", settings: kept });
  const oldSender = sender;
  sender = await EmitClient.connect(other.url, { WebSocket, reconnect: true, reconnectDelay: 20, maxReconnectDelay: 100, maxRetries: Infinity });
  closing.push(() => other.stop(), async () => {
    await sender.close();
    sender = oldSender;
  });
  const sessions: boolean[] = [];
  const { client, network, numbers } = await follow("lobby", {}, port);
  client.on("@connection", ({ resumed }) => sessions.push(resumed));
  await send("lobby", 1);
  expect(await numbers(1)).toEqual([1]);
  network.cut();
  await send("lobby", 2, 3);
  expect(await numbers(2)).toEqual([2, 3]);
  // The server stops, and keeps no session; the history is in a file.
  network.cut();
  network.stopForwarding();
  await other.stop();
  other = await startServer({ port, command: "serve", settings: kept });
  await sender.open({ retry: true });
  await send("lobby", 4, 5);
  network.cut();
  network.resumeForwarding();
  expect(await numbers(2)).toEqual([4, 5]);
  await send("lobby", 6);
  expect(await numbers(1)).toEqual([6]);
  expect(sessions).toEqual([true, false]);
});

test("messages that the history no longer has are announced", async () => {
  const gaps = new ReceiveQueue<string>();
  const { network, numbers } = await follow("short", { onGap: () => gaps.put("gap") });
  await send("short", 1);
  expect(await numbers(1)).toEqual([1]);
  network.cut();
  await send("short", 2, 3, 4, 5);
  expect(await gaps.next()).toBe("gap");
  expect(await numbers(2)).toEqual([4, 5]);
});

test("a room without a history and a failed join are rejected", async () => {
  await expect(follow("plain")).rejects.toMatchObject({ serverCode: "no_history" });
  await expect(follow("lobby", { join: () => Promise.reject(new Error("no")) })).rejects.toThrow("no");
  const client = new EmitClient(server.url, { WebSocket });
  await expect(followRoom(client, "lobby", () => {})).rejects.toMatchObject({ code: "not_connected" });
});
