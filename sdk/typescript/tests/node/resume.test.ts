/**
 * Sessions that outlive a connection, and requests that are sent again.
 */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";

import { EmitClient, type EmitClientOptions, type SystemEvents } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT, type Recovery } from "../../src/dispatch/index.js";
import { rejectionCode } from "../support/errorCode.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer, type Server } from "../support/server.js";
import { TcpProxy } from "../support/tcpProxy.js";

const fast = { reconnect: true, reconnectDelay: 20, maxReconnectDelay: 200, maxRetries: Infinity, WebSocket } satisfies EmitClientOptions;

let server: Server;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A client behind a network that can be cut, and its `@reconnect` events. */
async function connected(options: EmitClientOptions = {}, port = server.port) {
  const network = await TcpProxy.to(port);
  const client = await EmitClient.connect(`ws://127.0.0.1:${network.port}/?a=1`, { ...fast, ...options });
  const reconnects = new ReceiveQueue<SystemEvents["@reconnect"]>();
  client.on("@reconnect", reconnects.put);
  closing.push(() => network.close(), () => client.close());
  return { client, network, reconnects };
}

test("a session is resumed with its rooms, and queued messages are sent afterwards", async () => {
  const { client, network, reconnects } = await connected();
  const texts = new ReceiveQueue<string>();
  client.on("message", ({ text }: { text: string }) => texts.put(text));
  const connections: boolean[] = [];
  client.on("@connection", ({ resumed }) => connections.push(resumed));
  await client.request("/join", { room: "kept", username: "Ann" });
  for (const round of ["1", "2", "3"]) {
    client.connection.onChange(({ state }) => {
      if (state === "reconnecting") client.emit("/message", { room: "kept", text: round });
    });
    network.cut();
    expect(await reconnects.next()).toEqual({ attempt: 1, resumed: true });
    expect(await texts.nextWhere((text) => text === round)).toBe(round);
  }
  expect(connections).toEqual([true, true, true]);
});

test("a session is new after a close, with `resume: false`, and at a server that keeps none", async () => {
  const { client } = await connected();
  const { client: unwilling, network, reconnects } = await connected({ resume: false });
  const connections = new ReceiveQueue<boolean>();
  client.on("@connection", ({ resumed }) => connections.put(resumed));
  await client.close();
  await client.open();
  expect(await connections.next()).toBe(false);
  await unwilling.request("/ping");
  network.cut();
  expect(await reconnects.next()).toMatchObject({ resumed: false });

  const off = await startServer({ settings: ["resume.seconds=0"] });
  closing.push(() => off.stop());
  const restarted = await connected({}, server.port);
  await restarted.client.request("/ping");
  restarted.network.redirect(off.port);
  restarted.network.cut();
  expect(await restarted.reconnects.next()).toMatchObject({ resumed: false });
  await restarted.client.request("/ping");
});

test("a lost connection rejects requests, except those that may be handled twice", async () => {
  const fake = await FakeServer.start();
  closing.push(() => fake.stop());
  const client = new EmitClient(fake.url, fast);
  const opening = client.open();
  const first = await fake.sockets.next();
  await opening;
  closing.push(() => client.close());
  const [once, twice] = [client.request("/pay", 1), client.request("/read", 2, { idempotent: true })];
  const rejected = rejectionCode(once);
  expect([await first.next(), await first.next()]).toMatchObject([{ event: "/pay" }, { event: "/read" }]);
  first.socket.terminate();
  expect(await rejected).toBe("disconnected");
  const second = await fake.sockets.next();
  const repeated = await second.next();
  expect(repeated).toMatchObject({ event: "/read", data: 2 });
  second.send({ type: "ack", ackId: repeated["ackId"], data: "read" });
  expect(await twice).toBe("read");
  const last = client.request("/read", 3, { idempotent: true });
  await second.next();
  const ended = rejectionCode(last);
  await client.close();
  expect(await ended).toBe("disconnected");
});

test("a ticket is shown as a subprotocol, only to resume, and for as long as the session is kept", async () => {
  const offered = new ReceiveQueue<{ protocols: string; url: string }>();
  const peers = new ReceiveQueue<import("ws").WebSocket>();
  const fake = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "switchboard" });
  fake.on("connection", (socket, { headers, url = "" }) => {
    offered.put({ protocols: headers["sec-websocket-protocol"] ?? "", url });
    peers.put(socket);
  });
  await new Promise((listening) => fake.once("listening", listening));
  const { port } = fake.address() as { port: number };
  const client = await EmitClient.connect(`ws://127.0.0.1:${port}/`, fast);
  closing.push(async () => void fake.close(), () => client.close());
  const session = (seconds: number, resumed: boolean) =>
    JSON.stringify({ event: "@session", data: { ticket: "t1", seconds, resumed } });
  const states = new ReceiveQueue<string>();
  client.connection.onChange(({ state, resumed }) => states.put(`${state} ${resumed}`));
  expect(await offered.next()).toEqual({ protocols: "", url: "/?sb=1" });
  const marked = new ReceiveQueue<unknown>();
  client.on("mark", marked.put);
  const begin = async (socket: import("ws").WebSocket, seconds: number, resumed: boolean) => {
    socket.send(session(seconds, resumed));
    socket.send('{"event":"mark","data":1}');
    await marked.next();
  };
  let peer = await peers.next();
  await begin(peer, 60, false);
  peer.terminate();
  expect((await offered.next()).protocols).toBe("switchboard,ticket.t1");
  expect(await states.next()).toBe("reconnecting false");
  peer = await peers.next();
  expect(client.state).toBe("reconnecting");
  await begin(peer, 0, true);
  expect(await states.next()).toBe("connected true");
  peer.terminate();
  expect((await offered.next()).protocols).toBe("");
});

test("missed messages of rooms with history are received once and in order, and losses are declared", async () => {
  const own = await startServer({ settings: ['history.rooms={"chat-*" = {}}'] });
  closing.push(() => own.stop());
  const { client, network } = await connected({}, own.port);
  const other = await EmitClient.connect(own.url, { WebSocket });
  closing.push(() => other.close());
  const texts: string[] = [];
  client.on("message", ({ text }: { text: string }) => texts.push(text));
  const recoveries = new ReceiveQueue<SystemEvents["@recovered"]>();
  client.on("@recovered", recoveries.put);
  for (const room of ["chat-1", "plain"]) {
    await client.request("/join", { room, username: "Ann" });
    await other.request("/join", { room, username: "Ben" });
  }
  const sent: string[] = [];
  const send = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const text = `${sent.length}`;
      sent.push(text);
      other.emit("/message", { room: "chat-1", text });
    }
    await other.request("/ping");
  };
  await send(3);
  await expect.poll(() => texts).toEqual(sent);
  for (let round = 0; round < 3; round++) {
    network.cut();
    await send(10);
    const { rooms } = await recoveries.next();
    expect(rooms["#chat-1"]).toMatchObject({ recovered: true });
    expect(rooms["#plain"]).toEqual({ recovered: false });
    await send(3);
    await expect.poll(() => texts).toEqual(sent);
  }
});

test("a member that has read the history recovers also if no message has arrived", async () => {
  const own = await startServer({ settings: ['history.rooms={"chat-*" = {}}'] });
  closing.push(() => own.stop());
  const { client, network } = await connected({}, own.port);
  const other = await EmitClient.connect(own.url, { WebSocket });
  closing.push(() => other.close());
  const recoveries = new ReceiveQueue<SystemEvents["@recovered"]>();
  client.on("@recovered", recoveries.put);
  const texts: string[] = [];
  client.on("message", ({ text }: { text: string }) => texts.push(text));
  await other.request("/join", { room: "chat-1", username: "Ben" });
  await client.request("/join", { room: "chat-1", username: "Ann" });
  await client.history("chat-1");
  network.cut();
  other.emit("/message", { room: "chat-1", text: "missed" });
  await other.request("/ping");
  const { rooms } = await recoveries.next();
  expect(rooms["#chat-1"]).toEqual({ recovered: true, count: 1 });
  expect(texts).toEqual(["missed"]);
});

test("a member of a shard keeps its client id, and the others see no change", async () => {
  const own = await startServer({ settings: ['history.rooms={"kept" = {}}'] });
  closing.push(() => own.stop());
  const network = await TcpProxy.to(own.port);
  const join = async (host: string) => {
    const dispatch = new Dispatch({ projectId: "p", shardName: "kept", host, WebSocket, reconnectDelay: 20 });
    closing.push(() => dispatch.disconnect());
    return { dispatch, info: await dispatch.connect() };
  };
  closing.push(() => network.close());
  const [ann, ben] = [await join(`127.0.0.1:${network.port}`), await join(own.host)];
  await expect.poll(() => ben.dispatch.connectedClients.length).toBe(2);
  const sizes: number[] = [];
  ben.dispatch.onConnectedClientsChanged((clients) => sizes.push(clients.length));
  const texts: number[] = [];
  ann.dispatch.on("n", ({ n }: { n: number }) => texts.push(n));
  const recoveries = new ReceiveQueue<Recovery>();
  ann.dispatch.on(DISPATCH_EVENT.RECOVERED, recoveries.put);
  ben.dispatch.emitEvent("n", { n: 0 });
  await expect.poll(() => texts).toEqual([0]);
  for (let round = 1; round < 4; round++) {
    network.cut();
    ben.dispatch.emitEvent("n", { n: round });
    expect((await recoveries.next()).rooms["#kept"]).toMatchObject({ recovered: true });
    expect(ann.dispatch.connectionInfo).toEqual(ann.info);
    await expect.poll(() => ann.dispatch.connectedClients.length).toBe(2);
  }
  await expect.poll(() => texts).toEqual([0, 1, 2, 3]);
  expect(new Set(sizes)).toEqual(new Set([2]));
});
