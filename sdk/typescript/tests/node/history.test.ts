/**
 * Reading the history of rooms, against the real server.
 */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient, type Gap, type Position } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT } from "../../src/dispatch/index.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer, type Server } from "../support/server.js";

let server: Server;
let client: EmitClient;

beforeAll(async () => {
  server = await startServer({ command: "serve", settings: ["history.rooms.lobby.messages_max=2"] });
});
afterAll(() => server.stop());
afterEach(() => client.close());

test("a client reads the latest messages, older ones, and what it has missed", async () => {
  client = await EmitClient.connect(server.url, { WebSocket });
  await client.request("/join", { room: "lobby" });
  const empty = await client.history("lobby");
  expect(empty).toMatchObject({ room: "#lobby", top: 0, first: 1, gap: false, messages: [] });
  for (const text of ["a", "b", "c"]) await client.request("/message", { room: "lobby", text });

  const { epoch, messages, ...latest } = await client.history("#lobby");
  expect(epoch).toBe(empty.epoch);
  expect(latest).toEqual({ room: "#lobby", top: 3, first: 2, gap: false });
  expect(messages.map(({ offset, event, data }) => [offset, event, data])).toEqual([
    [2, "message", expect.objectContaining({ text: "b" })],
    [3, "message", expect.objectContaining({ text: "c" })],
  ]);
  const offsets = async (options: { before?: Position; after?: Position; limit?: number }) => {
    const { gap, messages } = await client.history("lobby", options);
    return [gap, ...messages.map(({ offset }) => offset)];
  };
  expect(await offsets({ limit: 1 })).toEqual([false, 3]);
  expect(await offsets({ before: { epoch, offset: 3 } })).toEqual([false, 2]);
  expect(await offsets({ after: { epoch, offset: 2 } })).toEqual([false, 3]);
  expect(await offsets({ after: { epoch, offset: 0 } })).toEqual([true, 2, 3]);
  expect(await offsets({ after: { epoch: "0123456789abcdef", offset: 3 } })).toEqual([true]);
});

test("a wrong read is rejected, by the client or by the server", async () => {
  client = await EmitClient.connect(server.url, { WebSocket });
  await expect(client.history("hall")).rejects.toMatchObject({ serverCode: "no_history" });
  await expect(client.history(7 as never)).rejects.toMatchObject({ code: "bad_option" });
  await expect(client.history("lobby", { limit: -1 })).rejects.toMatchObject({ code: "bad_option" });
  await expect(client.history("lobby", { most: 1 } as never)).rejects.toMatchObject({ code: "bad_option" });
  await expect(client.history("lobby", { before: { epoch: "x", offset: 1 } })).rejects.toMatchObject({ serverCode: "bad_data" });
});

test("a Koji client reads the history of its shard, and of a room that it names", async () => {
  const ann = new Dispatch({ host: server.url, shardName: "lobby", options: { WebSocket } });
  const bob = new Dispatch({ host: server.url, shardName: "hall", options: { WebSocket } });
  await ann.connect();
  await bob.connect();
  const echoed = new Promise((resolve) => ann.on("move", resolve));
  ann.emitEvent("move", { x: 1 });
  await echoed;
  const { room, messages } = await ann.history();
  expect([room, messages.at(-1)]).toEqual(["#lobby", expect.objectContaining({ event: "move", data: { x: 1 } })]);
  expect(await bob.history("lobby", { limit: 1 })).toMatchObject({ room: "#lobby", messages: [{ event: "move" }] });
  await expect(bob.history()).rejects.toMatchObject({ code: "refused", serverCode: "no_history" });
  await expect(bob.history("lobby", { most: 1 } as never)).rejects.toMatchObject({ code: "bad_option" });
  await expect(bob.history(7 as never)).rejects.toMatchObject({ code: "bad_option" });
  await ann.disconnect();
  await expect(ann.history()).rejects.toMatchObject({ code: "not_connected" });
  await bob.disconnect();
});

test("a read of a Koji client is rejected when the connection is lost", async () => {
  const fake = await FakeServer.start();
  const dispatch = new Dispatch({ host: fake.url, options: { WebSocket } });
  const connected = dispatch.connect();
  const peer = await fake.sockets.next();
  peer.send({ eventName: "@@KOJI_DISPATCH/CONNECTED", payload: { clientId: "c", shardName: "s" }, latencyMs: 0 });
  await connected;
  const read = dispatch.history();
  expect(JSON.parse(await peer.frames.next())).toEqual({ eventName: "@@SWITCHBOARD/history", payload: { id: 1 } });
  peer.socket.terminate();
  await expect(read).rejects.toMatchObject({ code: "disconnected" });
  await dispatch.disconnect();
  await fake.stop();
});

test("another epoch of a room is a gap before its first message, and none after a recovery that declared it", async () => {
  const fake = await FakeServer.start();
  const received = new ReceiveQueue<unknown>();
  client = new EmitClient(fake.url, { WebSocket, reconnect: true });
  client.on("@gap", received.put);
  client.on("said", received.put);
  const opened = client.open();
  const peer = await fake.sockets.next();
  await opened;
  const said = (epoch: string, offset: number) =>
    peer.send({ event: "said", room: "#r", position: { epoch, offset }, data: `${epoch}${offset}` });
  said("a", 1);
  said("a", 2);
  said("b", 1);
  peer.send({ event: "@recovered", data: { rooms: { "#r": { recovered: false, at: { epoch: "c", offset: 7 } } } } });
  said("c", 7);
  said("c", 8);
  for (const expected of ["a1", "a2", { room: "#r" }, "b1", "c8"]) expect(await received.next()).toEqual(expected);
  await client.close();
  await fake.stop();
});

test("a gap is an event of both clients", async () => {
  const fake = await FakeServer.start();
  const gaps = new ReceiveQueue<Gap>();
  client = new EmitClient(fake.url, { WebSocket, reconnect: true });
  client.on("@gap", (gap) => gaps.put(gap));
  const opened = client.open();
  const emitPeer = await fake.sockets.next();
  await opened;
  emitPeer.send({ event: "@gap", data: { room: "#r", lost: 3 } });
  expect(await gaps.next()).toEqual({ room: "#r", lost: 3 });
  const dispatch = new Dispatch({ host: fake.url, options: { WebSocket } });
  dispatch.on(DISPATCH_EVENT.GAP, (gap) => gaps.put(gap));
  const connected = dispatch.connect();
  const kojiPeer = await fake.sockets.next();
  kojiPeer.send({ eventName: "@@KOJI_DISPATCH/CONNECTED", payload: { clientId: "c", shardName: "s" }, latencyMs: 0 });
  await connected;
  kojiPeer.send({ eventName: "@@SWITCHBOARD/gap", payload: { room: "#s", from: 2, to: 4 }, latencyMs: 0 });
  expect(await gaps.next()).toEqual({ room: "#s", from: 2, to: 4 });
  await Promise.all([client.close(), dispatch.disconnect()]);
  await fake.stop();
});
