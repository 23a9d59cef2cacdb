/**
 * Clients of a server that goes away: they move to another node in their time slot.
 */

import { afterEach, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";

import { EmitClient, type EmitClientOptions } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT } from "../../src/dispatch/index.js";
import { rejectionCode } from "../support/errorCode.js";
import { FakePeer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startRedis } from "../support/redis.js";
import { startServer } from "../support/server.js";
import { TcpProxy } from "../support/tcpProxy.js";

const fast = { reconnect: true, reconnectDelay: 20, maxReconnectDelay: 200, maxRetries: Infinity, WebSocket } satisfies EmitClientOptions;

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server that selects the subprotocol of a ticket, and its connections with the offered subprotocols. */
async function nodes() {
  const offered = new ReceiveQueue<string>();
  const peers = new ReceiveQueue<FakePeer>();
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "switchboard" });
  server.on("connection", (socket, { headers, url = "" }) => {
    offered.put(headers["sec-websocket-protocol"] ?? "");
    peers.put(new FakePeer(socket, url));
  });
  await new Promise((listening) => server.once("listening", listening));
  closing.push(async () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  return { offered, peers, url: `ws://127.0.0.1:${(server.address() as { port: number }).port}/` };
}

/** A connected client with a ticket, the server's side, and the client's states. */
async function connected(options: EmitClientOptions = {}) {
  const { offered, peers, url } = await nodes();
  const client = await EmitClient.connect(url, { ...fast, ...options });
  closing.push(() => client.close());
  const first = await peers.next();
  await offered.next();
  const heard = new ReceiveQueue<unknown>();
  client.on("m", heard.put);
  const states = new ReceiveQueue<string>();
  client.connection.onChange(({ state, resumed }) => states.put(`${state} ${resumed}`));
  sendSession(first, "t1", false);
  first.send({ event: "m", data: "connected" });
  await heard.next();
  return { client, offered, peers, first, heard, states };
}

function sendSession(peer: FakePeer, ticket: string, resumed: boolean): void {
  peer.send({ event: "@session", data: { ticket, seconds: 60, resumed } });
}

/** Answers the request behind which a client that moves has sent nothing on its first connection. */
async function answerAlive(peer: FakePeer): Promise<void> {
  const { event, ackId } = (await peer.next()) as { event: string; ackId: string };
  expect(event).toBe("@alive");
  peer.send({ type: "ack", ackId, data: { error: "No handler for: @alive" } });
}

const GOAWAY = { event: "@goaway", data: { in_ms: 0, grace_ms: 10_000, reason: "drain" } };

test("a client resumes its session on a second connection before it gives up the first one", async () => {
  const { client, offered, peers, first, heard, states } = await connected();
  client.emit("early", 0);
  first.send(GOAWAY);
  expect(await first.next()).toEqual({ event: "early", data: 0 });
  // The node has read everything when it answers; only then may it be asked to pass the session on.
  expect(peers.pending).toEqual([]);
  await answerAlive(first);
  const second = await peers.next();
  expect(await offered.next()).toBe("switchboard,ticket.t1");
  // The session is on its way, so nothing is sent, and the state does not change.
  client.emit("held", 1);
  const reply = client.request("ask", 2);
  expect(client.state).toBe("connected");
  sendSession(second, "t2", true);
  second.send({ event: "m", room: "#r", position: { epoch: "e", offset: 6 }, data: "from the new node" });
  // What the old node has sent before precedes it.
  first.send({ event: "m", room: "#r", position: { epoch: "e", offset: 5 }, data: "from the old node" });
  expect(await heard.next()).toBe("from the old node");
  first.socket.close(1012);
  expect(await second.next()).toEqual({ event: "@resume", data: { "#r": { epoch: "e", offset: 5 } } });
  expect(await heard.next()).toBe("from the new node");
  expect(await second.next()).toEqual({ event: "held", data: 1 });
  const { ackId } = await second.next();
  second.send({ type: "ack", ackId, data: "answered" });
  expect(await reply).toBe("answered");
  expect([await states.next(), await states.next()]).toEqual(["reconnecting false", "connected true"]);
  expect(first.frames.pending).toEqual([]);
  // The next ticket is that of the new node.
  second.socket.terminate();
  expect(await offered.next()).toBe("switchboard,ticket.t2");
});

test("the old connection may close before the new one has answered", async () => {
  const { peers, first, states } = await connected();
  first.send(GOAWAY);
  const second = await peers.next();
  first.socket.close(1012);
  await first.closed;
  sendSession(second, "t2", true);
  expect(await second.next()).toMatchObject({ event: "@resume" });
  expect([await states.next(), await states.next()]).toEqual(["reconnecting false", "connected true"]);
});

test("a client with a new session joins again, and then closes the old connection itself", async () => {
  const { client, peers, first, heard } = await connected();
  client.on("@reconnect", ({ resumed }) => client.emit("join", { resumed }));
  first.send(GOAWAY);
  const second = await peers.next();
  sendSession(second, "t2", false);
  second.send({ event: "m", data: "new" });
  expect(await second.next()).toEqual({ event: "join", data: { resumed: false } });
  expect(await heard.next()).toBe("new");
  expect(await first.closed).toBe(1000);
});

test("a client keeps its connection while there is no other node, and tries again", async () => {
  const { client, peers, first, heard, states } = await connected();
  first.send(GOAWAY);
  for (const text of ["1", "2"]) {
    await answerAlive(first);
    const refused = await peers.next();
    client.emit("held", text);
    refused.socket.close(1013);
    expect(await first.next()).toEqual({ event: "held", data: text });
    first.send({ event: "m", data: text });
    expect(await heard.next()).toBe(text);
  }
  await answerAlive(first);
  const second = await peers.next();
  sendSession(second, "t2", true);
  first.socket.close(1012);
  expect(await second.next()).toMatchObject({ event: "@resume" });
  expect([await states.next(), await states.next()]).toEqual(["reconnecting false", "connected true"]);
});

test("if the old connection ends while no other node accepts the client, it reconnects as after any close", async () => {
  const { peers, first, states } = await connected();
  first.send(GOAWAY);
  const refused = await peers.next();
  first.socket.close(1012);
  await first.closed;
  refused.socket.close(1013);
  expect(await states.next()).toBe("reconnecting false");
  sendSession(await peers.next(), "t2", true);
  expect(await states.next()).toBe("connected true");
});

test("a cancelled notice and an invalid one move nobody", async () => {
  const { client, peers, first, heard } = await connected();
  first.send({ event: "@goaway", data: { in_ms: 60_000, grace_ms: 60_000, reason: "drain" } });
  first.send({ event: "@goaway", data: { cancelled: true } });
  for (const data of [null, 7, "now", [], { in_ms: "0" }, { in_ms: null }]) first.send({ event: "@goaway", data });
  first.send({ event: "m", data: "stays" });
  expect(await heard.next()).toBe("stays");
  client.emit("here", 1);
  expect(await first.next()).toEqual({ event: "here", data: 1 });
  expect(peers.pending).toEqual([]);
});

test("replies that are under way are waited for", async () => {
  const { client, peers, first } = await connected();
  const reply = client.request("slow", 1);
  const { ackId } = await first.next();
  first.send(GOAWAY);
  client.emit("still", "sent on the first connection");
  expect(await first.next()).toMatchObject({ event: "still" });
  expect(peers.pending).toEqual([]);
  first.send({ type: "ack", ackId, data: "done" });
  expect(await reply).toBe("done");
  await peers.next();
});

test("a client that is closed in a move closes both connections", async () => {
  const { client, peers, first } = await connected();
  first.send(GOAWAY);
  const second = await peers.next();
  const rejected = rejectionCode(client.request("held", 1));
  await client.close();
  expect(await rejected).toBe("disconnected");
  await Promise.all([first.closed, second.closed]);
  expect(client.state).toBe("closed");
});

test("a Dispatch moves with its client id and seat", async () => {
  const { offered, peers, url } = await nodes();
  const koji = new Dispatch({ ...fast, host: url });
  closing.push(() => koji.disconnect());
  const sendKoji = (peer: FakePeer, resumed: boolean) =>
    peer.send({ eventName: "@@SWITCHBOARD/session", payload: { ticket: "t", seconds: 60, resumed }, latencyMs: 0 });
  const connecting = koji.connect();
  const first = await peers.next();
  await offered.next();
  first.sendConnected("me", "s");
  sendKoji(first, false);
  await connecting;
  const reconnects = new ReceiveQueue<{ resumed: boolean }>();
  koji.on(DISPATCH_EVENT.RECONNECTED, reconnects.put);
  first.send({ eventName: "@@SWITCHBOARD/goaway", payload: { in_ms: 0, grace_ms: 1000, reason: "stop" }, latencyMs: 0 });
  const second = await peers.next();
  expect(await offered.next()).toBe("switchboard,ticket.t");
  sendKoji(second, true);
  first.socket.close(1012);
  second.sendConnected("me", "s");
  expect(await reconnects.next()).toMatchObject({ resumed: true });
  expect(koji.connectionInfo).toMatchObject({ clientId: "me", shardName: "s" });
  expect(await second.next()).toMatchObject({ eventName: "@@SWITCHBOARD/resume" });
});

test("clients of a stopping server connect to another one before it closes them", async () => {
  const servers = [await startServer({ settings: ["stop.window_ms=20000"] }), await startServer()] as const;
  const network = await TcpProxy.to(servers[0].port);
  closing.push(() => servers[1].stop(), () => network.close());
  const client = await EmitClient.connect(`ws://127.0.0.1:${network.port}/`, fast);
  closing.push(() => client.close());
  await client.request("/ping");
  const states = new ReceiveQueue<string>();
  client.connection.onChange(({ state, code }) => states.put(`${state} ${code}`));
  network.redirect(servers[1].port);
  // It waits for no window, because nobody is left.
  await servers[0].stop();
  expect([await states.next(), await states.next()]).toEqual(["reconnecting 1012", "connected 0"]);
  await client.request("/ping");
});

test("a stopping node passes the session on, and no message of a room with a history is lost or arrives twice", async () => {
  const redis = await startRedis();
  closing.push(() => redis.stop());
  const settings = [`redis.url=${redis.url}`, "stop.window_ms=20000", "history.rooms.kept.messages_max=100000"];
  const servers = [await startServer({ settings }), await startServer({ settings })] as const;
  const network = await TcpProxy.to(servers[0].port);
  closing.push(() => servers[1].stop(), () => network.close());
  const client = await EmitClient.connect(`ws://127.0.0.1:${network.port}/`, fast);
  const sender = await EmitClient.connect(servers[1].url, { WebSocket });
  closing.push(() => client.close(), () => sender.close());
  const received: number[] = [];
  client.on("message", ({ text }: { text: string }) => received.push(Number(text)));
  const reconnects = new ReceiveQueue<{ resumed: boolean }>();
  client.on("@reconnect", reconnects.put);
  for (const each of [client, sender]) await each.request("/join", { room: "kept", username: "Ann" });
  let sent = 0;
  let isSending = true;
  const sending = (async () => {
    while (isSending) {
      sender.emit("/message", { room: "kept", text: String(++sent) });
      await sender.request("/ping");
    }
  })();
  while (received.length < 20) await new Promise((resolve) => setTimeout(resolve, 5));
  network.redirect(servers[1].port);
  await servers[0].stop();
  expect(await reconnects.next()).toMatchObject({ resumed: true });
  const after = sent;
  while (!received.includes(after + 20)) await new Promise((resolve) => setTimeout(resolve, 5));
  isSending = false;
  await sending;
  while (received.at(-1) !== sent) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(received).toEqual(Array.from({ length: received.length }, (_, index) => received[0]! + index));
  expect(received[0]).toBe(1);
});
