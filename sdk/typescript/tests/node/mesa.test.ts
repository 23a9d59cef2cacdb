/**
 * The Mesa client against the real server, and against one that violates the protocol.
 */

import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Dispatch } from "../../src/dispatch/index.js";
import { Client, Message, type ClientOptions, type StateChange } from "../../src/mesa/index.js";
import { rejectionCode, thrownCode } from "../support/errorCode.js";
import { FakeServer, type FakePeer } from "../support/fakeServer.js";
import { SECRET } from "../support/mesa.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { BINARY, freePort, startServer, type Server } from "../support/server.js";

const SETTINGS = [
  "mesa.enabled=true", "mesa.namespace=both", `auth.jwt_secret=${SECRET}`,
  "mesa.reconnect.enabled=true", "mesa.reconnect.interval_ms=100",
];
const all: Client[] = [];

function tokenOf(user: string): string {
  const args = ["token", "make", "--set", `auth.jwt_secret=${SECRET}`, user];
  return execFileSync(BINARY, args, { encoding: "utf8" }).trim();
}

function create(url: string, options: ClientOptions = {}): Client {
  const client = new Client(url, { WebSocket, ...options });
  all.push(client);
  return client;
}

afterEach(() => Promise.all(all.splice(0).map((client) => client.disconnect())));

describe("with the real server", () => {
  let server: Server;
  let port: number;

  const start = (listen: number) => startServer({ port, settings: [...SETTINGS, `mesa.listen=127.0.0.1:${listen}`] });

  let mesaPort: number;
  beforeAll(async () => {
    port = await freePort();
    mesaPort = await freePort();
    server = await start(mesaPort);
  });
  afterAll(() => server.stop());

  test("connects by itself, authenticates, and receives its user", async () => {
    const client = create(`${server.url}/mesa`);
    const kinds = new ReceiveQueue<unknown>();
    const users = new ReceiveQueue<unknown>();
    client.on("connected", kinds.put);
    client.on("authenticated", users.put);
    expect(await client.authenticate({ token: tokenOf("7") })).toEqual({ id: "7" });
    expect(client.authenticated).toBe(true);
    expect(await kinds.next()).toEqual({
      isInitialConnection: true, isInitialSessionConnection: true, isAutomaticReconnection: false,
    });
    expect(await client.authenticate({ token: tokenOf("8") }, { shouldSync: false })).toEqual({ id: "8" });
    expect([await users.next(), await users.next()]).toEqual([{ id: "7" }, { id: "8" }]);
    await client.disconnect();
    expect([client.state, client.authenticated]).toEqual(["closed", false]);
    expect(await rejectionCode(client.authenticate({}))).toBe("not_connected");
    expect(thrownCode(() => client.send(0, {}))).toBe("not_connected");
  });

  test("receives an event that a Koji page sends to its user", async () => {
    const client = create(`${server.url}/mesa`);
    const messages = new ReceiveQueue<Message>();
    client.on("message", messages.put);
    await client.authenticate({ token: tokenOf("anna-8") });
    const page = new Dispatch({ projectId: "both", host: server.url, options: { WebSocket } });
    await page.connect();
    page.emitEvent("NEW_MESSAGE", { content: "hi" }, ["anna-8"]);
    const message = await messages.next();
    expect(message).toBeInstanceOf(Message);
    expect(message).toMatchObject({ opcode: 0, type: "NEW_MESSAGE", data: { content: "hi" }, isRedelivered: false });
    await page.disconnect();
  });

  test("answers heartbeats, so it outlives a client that does not", async () => {
    // A server of its own, because busy tests could answer too late. Four heartbeats without an answer end a connection.
    const beats = ["mesa.heartbeat.enabled=true", "mesa.heartbeat.interval_ms=500", "mesa.listen=127.0.0.1:0"];
    const own = await startServer({ settings: [...SETTINGS, ...beats] });
    const client = create(`${own.url}/mesa`);
    await client.connect();
    const mute = new WebSocket(`${own.url}/mesa`);
    await new Promise((resolve) => mute.once("close", resolve));
    expect(client.state).toBe("connected");
    await client.disconnect();
    await own.stop();
  });

  test("a rejected token fails with `authentication_failed`, and is not sent again", async () => {
    const client = create(`${server.url}/mesa`);
    await client.connect();
    const states = new ReceiveQueue<StateChange>();
    client.on("state", states.put);
    await expect(client.authenticate({ token: "no token" })).rejects.toMatchObject({
      code: "authentication_failed", closeCode: 1008, reason: "the token was refused",
    });
    expect(await states.next()).toMatchObject({ state: "closed", code: 1008, willReconnect: false });
    const other = create(`${server.url}/mesa`, { authorization: "no token" });
    const errors = new ReceiveQueue<unknown>();
    other.on("error", errors.put);
    expect(await errors.next()).toMatchObject({ code: "authentication_failed" });
    expect(other.state).toBe("closed");
  });

  test("reconnects if the server announces it, sends a new token, and then queued messages", async () => {
    const tokens = { connect: tokenOf("7"), reconnect: tokenOf("8"), expiring: "" };
    const client = create(`${server.url}/mesa`, { maxReconnectDelay: 500, getToken: ({ reason }) => tokens[reason] });
    const users = new ReceiveQueue<unknown>();
    const kinds = new ReceiveQueue<unknown>();
    const gone = new ReceiveQueue<unknown[]>();
    client.on("authenticated", users.put);
    expect(await users.next()).toEqual({ id: "7" });
    client.on("connected", kinds.put);
    client.on("disconnected", (...values) => gone.put(values));
    await server.kill();
    expect(await gone.next()).toEqual([1006, "", { willAttemptReconnect: true }]);
    client.send(new Message(0, { n: 1 }, "KEPT"));
    server = await start(mesaPort);
    expect(await kinds.next()).toEqual({
      isInitialConnection: false, isInitialSessionConnection: false, isAutomaticReconnection: true,
    });
    expect(await users.next()).toEqual({ id: "8" });
  });

  test("rejects at a closed port, and when its signal aborts", async () => {
    const client = create(`ws://127.0.0.1:${await freePort()}`, { autoConnect: false });
    expect(client.state).toBe("idle");
    expect(await rejectionCode(client.connect())).toBe("connect_failed");
    expect(await rejectionCode(client.connect({ signal: AbortSignal.abort() }))).toBe("aborted");
    expect(await rejectionCode(create("no address", { autoConnect: false }).connect())).toBe("bad_option");
  });
});

describe("with a server that violates the protocol", () => {
  let server: FakeServer;
  beforeEach(async () => {
    server = await FakeServer.start();
  });
  afterEach(() => server.stop());

  const fast = { reconnectDelay: 5, maxReconnectDelay: 20 };
  const hello = (d: object = {}) => ({ op: 10, d: { rules: [], ...d } });

  async function pair(options: ClientOptions = {}, d: object = {}) {
    const client = create(server.url, { ...fast, ...options });
    const errors = new ReceiveQueue<{ code: string }>();
    const states = new ReceiveQueue<StateChange>();
    const messages = new ReceiveQueue<Message>();
    client.on("error", errors.put);
    client.on("message", messages.put);
    const peer = await server.sockets.next();
    peer.send(hello(d));
    await client.connect();
    client.on("state", states.put);
    return { client, errors, states, messages, peer };
  }

  test("malformed frames of every kind are reported, and the connection stays open", async () => {
    const { client, errors, messages, peer } = await pair();
    const bad = [
      "", "no JSON", "{", "null", "[]", "5", '"x"', "true", "{}", '{"op":"0"}', '{"op":null}', '{"op":{}}',
      '{"op":0,"t":5}', '{"op":0,"t":{}}',
    ];
    for (const frame of bad) peer.send(frame);
    peer.socket.send(Buffer.from('{"op":0,"d":{}}'));
    // Accepted without effect: a second hello, unexpected answers, hellos and users with any data.
    for (const frame of ['{"op":10}', '{"op":10,"d":5}', '{"op":10,"d":{"c_reconnect_interval":"x","rules":7}}']) peer.send(frame);
    for (const frame of ['{"op":11}', '{"op":22}', '{"op":22,"d":[]}']) peer.send(frame);
    peer.send({ op: 0 });
    expect(await messages.next()).toMatchObject({ opcode: 0, data: {}, type: undefined, isRedelivered: false });
    expect(errors.pending.map(({ code }) => code)).toEqual([...bad, "binary"].map(() => "bad_frame"));
    expect(client.state).toBe("connected");
  });

  test("only a positive number marks a message as redelivered", async () => {
    const { messages, peer } = await pair();
    for (const s of [1, 2, undefined, 0, "x", null, {}]) peer.send({ op: 0, d: { s }, t: "X", s });
    const received: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      const { sequence, isRedelivered } = await messages.next();
      received.push(isRedelivered ? sequence : "live");
    }
    expect(received).toEqual([1, 2, "live", "live", "live", "live", "live"]);
  });

  test("heartbeats are answered", async () => {
    const { peer } = await pair();
    peer.send({ op: 1, d: {} });
    expect(await peer.next()).toEqual({ op: 11, d: {} });
  });

  test("a silent server is probed, and then the connection counts as lost", async () => {
    // `pair` could return after the probe.
    const client = create(server.url, { ...fast, watchdogInterval: 30, watchdogTimeout: 30 });
    const states = new ReceiveQueue<StateChange>();
    client.on("state", states.put);
    const peer = await server.sockets.next();
    peer.send(hello());
    expect(await peer.next()).toEqual({ op: 1, d: {} });
    expect(await states.nextWhere(({ code }) => code === 1006)).toMatchObject({ reason: expect.stringMatching(/^the server did not answer within/) as string });
  });

  test("logins resolve in their order, and end at timeout, abort and disconnect", async () => {
    const { client, peer } = await pair();
    const [first, second] = [client.authenticate({ token: "a" }), client.authenticate({ token: "b" }, { shouldSync: false })];
    expect(await peer.next()).toEqual({ op: 2, d: { token: "a", shouldSync: true } });
    expect(await peer.next()).toEqual({ op: 2, d: { token: "b", shouldSync: false } });
    peer.send({ op: 22, d: { id: 1 } });
    peer.send({ op: 22, d: { id: 2 } });
    expect([await first, await second]).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await rejectionCode(client.authenticate({}, { timeout: 20 }))).toBe("timeout");
    const stop = new AbortController();
    const third = rejectionCode(client.authenticate({}, { signal: stop.signal }));
    stop.abort();
    expect(await third).toBe("aborted");
    const fourth = rejectionCode(client.authenticate({}));
    peer.socket.close(1012);
    expect(await fourth).toBe("disconnected");
    expect(await rejectionCode(client.authenticate({ f: () => 1 }))).toBe("not_connected");
  });

  test("the client reconnects only if hello has an interval, and then also after 1000", async () => {
    const quiet = await pair();
    quiet.peer.socket.close(1012);
    expect(await quiet.states.next()).toMatchObject({ state: "closed", willReconnect: false });
    for (const [code, willReconnect] of [[1000, true], [1012, true], [1002, false], [4001, false]] as const) {
      const { states, peer } = await pair({}, { c_reconnect_interval: 5 });
      peer.socket.close(code);
      expect(await states.next()).toMatchObject({ code, willReconnect });
      if (willReconnect) await server.sockets.next();
    }
    const { client, peer } = await pair({}, { c_reconnect_interval: 5 });
    await client.disconnect();
    expect(await peer.closed).toBe(1000);
    expect(client.state).toBe("closed");
  });

  test("the average reconnect delay is the interval of hello, within bounds", async () => {
    const delays = async (interval: unknown) => {
      const { client, states, peer } = await pair({ reconnectDelay: undefined }, { c_reconnect_interval: interval });
      expect(client.connection.options.reconnectDelay).toBe(interval === 4000 ? 8000 : interval === 1e300 ? 2e300 : 500);
      peer.socket.close(1012);
      const { delay } = await states.next();
      expect(delay).toBeLessThanOrEqual(20);
      await client.disconnect();
    };
    for (const interval of [4000, 1, 1e300]) await delays(interval);
  });

  test("the client's reconnect options override hello", async () => {
    const never = await pair({ reconnect: false }, { c_reconnect_interval: 5 });
    never.peer.socket.close(1012);
    expect(await never.states.next()).toMatchObject({ willReconnect: false });
    const always = await pair({ reconnect: true, shouldReconnect: (code) => (code === 4001 ? true : undefined) });
    always.peer.socket.close(4001);
    expect(await always.states.next()).toMatchObject({ willReconnect: true });
  });

  test("a rejected token of `getToken` is not sent again; a new one is", async () => {
    const tokens = ["bad", "bad", "good"];
    const client = create(server.url, { ...fast, getToken: () => tokens.shift() ?? "good" });
    const errors = new ReceiveQueue<{ code: string }>();
    client.on("error", errors.put);
    const shown = async (peer: FakePeer) => {
      peer.send(hello({ c_reconnect_interval: 5 }));
      return (await peer.next<{ d: { token: string } }>()).d.token;
    };
    const peer = await server.sockets.next();
    expect(await shown(peer)).toBe("bad");
    peer.socket.close(1008, "the token was refused");
    expect([await errors.next(), await errors.next()]).toMatchObject([{ code: "authentication_failed" }, { code: "authentication_failed" }]);
    expect(await shown(await server.sockets.next())).toBe("good");
    expect(tokens).toEqual([]);
  });

  test("a client closed for its message rate reconnects after a long delay", async () => {
    const { client, states, peer } = await pair({}, { c_reconnect_interval: 5 });
    const login = client.authenticate({ token: "a" });
    await peer.next();
    peer.send({ op: 22, d: {} });
    await login;
    peer.socket.close(1008, "too many messages");
    const { willReconnect, delay } = await states.next();
    expect([willReconnect, delay >= 10]).toEqual([true, true]);
  });

  test("messages sent before hello follow the token, within the bounds of the queue", async () => {
    const client = create(server.url, { ...fast, authorization: "t", queueBytesMax: 90 });
    client.send(new Message(0, { n: 1 }, "A"));
    client.send(0, { n: 2 }, "B");
    expect(thrownCode(() => client.send(0, { x: "x".repeat(40) }))).toBe("queue_full");
    client.on("connected", () => client.send(new Message(7, undefined, undefined, { sync: false })));
    const peer = await server.sockets.next();
    peer.send(hello());
    const sent = [await peer.next(), await peer.next(), await peer.next(), await peer.next()];
    expect(sent).toEqual([
      { op: 2, d: { token: "t", shouldSync: true } },
      { op: 7, d: {}, o: { sync: false } },
      { op: 0, d: { n: 1 }, t: "A" },
      { op: 0, d: { n: 2 }, t: "B" },
    ]);
  });

  test("messages that a server would not accept are rejected", async () => {
    const { client } = await pair();
    expect(thrownCode(() => client.send(0, { f: () => 1 }))).toBe("bad_data");
    expect(thrownCode(() => client.send(0, "x".repeat(1_048_576)))).toBe("too_large");
    expect(thrownCode(() => client.send(0, {}, "é".repeat(129)))).toBe("too_large");
  });

  test("connect rejects if hello does not arrive", async () => {
    const client = create(server.url, { autoConnect: false, connectTimeout: 30 });
    expect(await rejectionCode(client.connect())).toBe("timeout");
  });
});
