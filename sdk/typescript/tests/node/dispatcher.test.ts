/**
 * The Dispatcher against the real server: through Redis, beside the original package of npm, and over the HTTP API.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import {
  ApiError, Dispatcher, DispatchEvent, Message, signToken, type DispatcherOptions,
} from "../../src/server/index.js";
import { Client } from "../../src/mesa/index.js";
import { RedisConnection } from "../../src/server/redisConnection.js";
import { DELIVER_OR_STORE } from "../../src/server/redisTransport.js";
import { rejectionCode, thrownCode } from "../support/errorCode.js";
import { closeRedisConnections, login, original as mesa, SECRET, startMesa, type User } from "../support/mesa.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startRedis, type RedisServer } from "../support/redis.js";
import { BINARY, freePort, TRANSCRIPTS, type Server } from "../support/server.js";
import { TcpProxy } from "../support/tcpProxy.js";

const KEY = "0123456789abcdef0123456789abcdef";
const NOTE = new Message(0, { status: "online" }, "STATUS_UPDATE");

let redis: RedisServer;
let server: Server;
let api: string;
const dispatchers: Dispatcher[] = [];
const users: User[] = [];

beforeAll(async () => {
  redis = await startRedis();
  ({ server, api } = await startApi(redis, ["mesa.sync.enabled=true"]));
});
afterAll(async () => {
  await server?.stop();
  await redis?.stop();
});
afterEach(async () => {
  await Promise.all(users.splice(0).map(({ client }) => client.disconnect()));
  await Promise.all(dispatchers.splice(0).map((dispatcher) => dispatcher.close()));
});

/** Starts a node with an HTTP API; returns the API's address too. */
async function startApi(on: RedisServer, settings: readonly string[] = []): Promise<{ server: Server; api: string }> {
  const listen = `127.0.0.1:${await freePort()}`;
  const server = await startMesa(on, [`api.listen=${listen}`, `api.keys=${KEY}`, ...settings]);
  return { server, api: `http://${listen}` };
}

function create(address: ConstructorParameters<typeof Dispatcher>[0], options: DispatcherOptions = {}): Dispatcher {
  const dispatcher = new Dispatcher(address, { namespace: "api", ...options });
  dispatchers.push(dispatcher);
  return dispatcher;
}

async function user(id: string): Promise<User> {
  const user = await login(`${server.url}/mesa`, id);
  users.push(user);
  return user;
}

const texts = (...messages: Message[]) => messages.map(({ type, data, sequence }) => [type, data, sequence]);
const message = (n: number) => new Message(0, { n }, "COUNT");

describe.each([
  ["Redis", () => create(redis.url), () => create(redis.url, { sync: { enabled: true } })],
  ["HTTP", () => create(api, { key: KEY }), () => create(api, { key: KEY, sync: { enabled: true } })],
])("over %s", (way, plain, syncing) => {
  test("users receive their messages in order, and excluded users do not", async () => {
    const dispatcher = plain();
    const [ann, bob, ben] = [await user("ann"), await user("bob"), await user("bob")];
    await dispatcher.dispatch(NOTE, ["ann", "bob"]);
    await dispatcher.dispatch(message(1), ["ann", "bob"], ["ann"]);
    await dispatcher.dispatch(message(2), ["ann", "bob"]);
    expect(texts(await ann.messages.next(), await ann.messages.next())).toEqual([
      ["STATUS_UPDATE", { status: "online" }, undefined], ["COUNT", { n: 2 }, undefined],
    ]);
    for (const { messages } of [bob, ben]) {
      expect(texts(await messages.next(), await messages.next(), await messages.next()).map(([, data]) => data))
        .toEqual([{ status: "online" }, { n: 1 }, { n: 2 }]);
    }
  });

  test("`*` reaches everyone, and an empty audience is no error", async () => {
    const dispatcher = plain();
    const [ann, bob] = [await user("ann"), await user("bob")];
    expect(await dispatcher.dispatch(NOTE, [])).toEqual({});
    expect(await dispatcher.dispatch(NOTE, ["ann"], ["ann"])).toEqual({});
    await dispatcher.dispatch(message(1), ["*"]);
    await dispatcher.dispatch(message(2));
    for (const { messages } of [ann, bob]) {
      expect(texts(await messages.next(), await messages.next()).map(([, data]) => data)).toEqual([{ n: 1 }, { n: 2 }]);
    }
  });

  test("`*` with exclusions reaches everyone except these users, and closes everyone except them", async () => {
    const dispatcher = plain();
    const anonymous = new Client(`${server.url}/mesa`, { WebSocket, autoConnect: false });
    const received = new ReceiveQueue<Message>();
    anonymous.on("message", received.put);
    await anonymous.connect();
    const [ann, bob, eve] = [await user("ann"), await user("bob"), await user("eve\"*")];
    await dispatcher.dispatch(message(1), ["*"], ["ann", "eve\"*"]);
    await dispatcher.dispatch(message(2), { everyone: true }, { users: ["bob"] });
    await dispatcher.dispatch(message(3), ["*"], ["*"]);
    await dispatcher.dispatch(message(4), ["ann"], { everyone: true });
    await syncing().dispatch(message(5), ["*"], ["ann", "nobody"]);
    for (const [{ messages }, numbers] of [[ann, [2]], [bob, [1, 5]], [eve, [2, 5]], [{ messages: received }, [1, 2, 5]]] as const) {
      for (const n of numbers) expect((await messages.next()).data).toEqual({ n });
    }
    await dispatcher.disconnect(["*"], ["ann"]);
    expect([await bob.closed, await eve.closed]).toEqual([1000, 1000]);
    await dispatcher.dispatch(message(6), ["ann"]);
    expect((await ann.messages.next()).data).toEqual({ n: 6 });
    await anonymous.disconnect();
  });

  test("a promise that nothing handles raises `error`, and without a listener shows it on the console", async () => {
    const dispatcher = plain();
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    void dispatcher.dispatch(new Message(0, 1n, "X"), ["ann"]);
    await expect.poll(() => logged.mock.calls.flat()).toEqual([expect.objectContaining({ code: "bad_data" })]);
    const errors = new ReceiveQueue<unknown>();
    dispatcher.on("error", errors.put);
    void dispatcher.dispatch(NOTE, { rooms: [7] as never, users: "x" as never });
    expect(await errors.next()).toMatchObject({ code: "bad_option" });
    void dispatcher.disconnect(["ann"], [], { signal: AbortSignal.abort() });
    expect(await errors.next()).toMatchObject({ code: "aborted" });
    await dispatcher.close();
    void dispatcher.dispatch(new DispatchEvent("DISCONNECT_CLIENT"), ["ann"]);
    expect(await errors.next()).toMatchObject({ code: "not_connected" });
    // Handled by the test alone, in every way.
    const failing = () => dispatcher.dispatch(NOTE, ["ann"]);
    expect(await failing().catch(({ code }) => code)).toBe("not_connected");
    expect(await failing().then(() => "", ({ code }) => code)).toBe("not_connected");
    await expect(Promise.all([failing(), failing()])).rejects.toMatchObject({ code: "not_connected" });
    expect(await Promise.allSettled([failing()])).toMatchObject([{ status: "rejected" }]);
    await expect((async () => failing())()).rejects.toMatchObject({ code: "not_connected" });
    const late = failing();
    await Promise.resolve();
    await expect(late).rejects.toMatchObject({ code: "not_connected" });
    dispatcher.off("error", errors.put);
    void failing();
    await expect.poll(() => logged.mock.calls.length).toBe(2);
    expect(errors.pending).toEqual([]);
    logged.mockRestore();
  });

  test("other operation codes than 0 and messages without a type arrive unchanged", async () => {
    const dispatcher = plain();
    const ann = await user("ann");
    await dispatcher.dispatch(new Message(7, [1], "ODD"), ["ann"]);
    await dispatcher.dispatch(new Message(0, { bare: true }), ["ann"]);
    expect(await ann.messages.next()).toMatchObject({ opcode: 7, data: [1], type: "ODD" });
    expect(await ann.messages.next()).toMatchObject({ opcode: 0, data: { bare: true }, type: undefined });
  });

  test("with `sync` an offline user receives all messages at the next login, in order and marked as redelivered", async () => {
    const dispatcher = syncing();
    const away = `away-${way}`;
    const many = await Promise.all([1, 2, 3].map((n) => dispatcher.dispatch(message(n), [away])));
    expect(many.map(({ inboxes }) => inboxes)).toEqual([1, 1, 1]);
    await dispatcher.dispatch(new Message(0, {}, "NOW_OR_NEVER", { sync: false }), [away]);
    const back = await user(away);
    const received = texts(await back.messages.next(), await back.messages.next(), await back.messages.next());
    expect(received.map(([type, , sequence]) => [type, sequence])).toEqual([["COUNT", 1], ["COUNT", 2], ["COUNT", 3]]);
    // Concurrent HTTP requests may overtake each other.
    expect(received.map(([, data]) => (data as { n: number }).n).sort()).toEqual([1, 2, 3]);
    await dispatcher.dispatch(message(4), [away]);
    expect(texts(await back.messages.next())).toEqual([["COUNT", { n: 4 }, undefined]]);
  });

  test("disconnect closes with 1000, spares excluded users, and accepts an empty audience", async () => {
    const dispatcher = plain();
    const [ann, bob, eve] = [await user("ann"), await user("bob"), await user("eve")];
    expect(await dispatcher.disconnect([])).toEqual({});
    expect(await dispatcher.disconnect(["eve"], ["eve"])).toEqual({});
    await dispatcher.disconnect(["ann", "eve"], ["eve"]);
    await dispatcher.dispatch(new DispatchEvent("DISCONNECT_CLIENT"), ["bob"]);
    expect([await ann.closed, await bob.closed]).toEqual([1000, 1000]);
    await dispatcher.dispatch(message(1), ["eve"]);
    expect(texts(await eve.messages.next())).toEqual([["COUNT", { n: 1 }, undefined]]);
    await dispatcher.close();
    expect(await rejectionCode(dispatcher.disconnect(["eve"]))).toBe("not_connected");
  });

  test("an invalid message is rejected with a code", async () => {
    const dispatcher = plain();
    expect(await rejectionCode(dispatcher.dispatch(new Message(0, 1n, "X"), ["ann"]))).toBe("bad_data");
    const late = dispatcher.dispatch(NOTE, ["ann"], [], { signal: AbortSignal.abort() });
    expect(await rejectionCode(late)).toBe("aborted");
    await dispatcher.close();
    expect(await rejectionCode(dispatcher.dispatch(NOTE, ["ann"]))).toBe("not_connected");
  });
});

describe("through Redis", () => {
  test("publishes the same bytes as the original", async () => {
    const original = new mesa.Dispatcher(redis.url, { namespace: "wire" });
    const ours = create(redis.url, { namespace: "wire" });
    const subscriber = redis.client.duplicate();
    const received: string[] = [];
    subscriber.on("message", (_: string, text: string) => received.push(text));
    await subscriber.subscribe("ws_wire");
    const calls: [Message, string[]?, string[]?][] = [
      [NOTE, ["0", "1"]], [NOTE, ["0", "1"], ["1"]], [NOTE, ["*"]], [NOTE], [NOTE, ["*"], []],
      [new Message(0, {}, "X", { sync: false }), ["a\"b"]],
    ];
    for (const [{ opcode, data, type, options }, ...to] of calls) {
      original.dispatch(new mesa.Message(opcode, data as object, type, options as never), ...to);
      await expect.poll(() => received.length % 2).toBe(1);
      await ours.dispatch(new Message(opcode, data, type, options), ...to);
      await expect.poll(() => received.length % 2).toBe(0);
      const [theirs, own] = received.slice(-2).map((text) => JSON.parse(text) as unknown);
      expect(own).toEqual(theirs);
    }
    original.dispatch(new mesa.DispatchEvent("DISCONNECT_CLIENT"), ["1"]);
    await expect.poll(() => received.length % 2).toBe(1);
    await ours.dispatch(new DispatchEvent("DISCONNECT_CLIENT"), ["1"]);
    await expect.poll(() => received.length % 2).toBe(0);
    expect(JSON.parse(received.at(-1) ?? "")).toEqual(JSON.parse(received.at(-2) ?? ""));
    closeRedisConnections(original);
    subscriber.disconnect();
  });

  test("appends to messages stored by an original, which can append to its messages", async () => {
    await redis.client.hset("undelivered_messages_api", "both", '[{"op":0,"d":{"n":0},"t":"COUNT"}]');
    await create(redis.url, { sync: { enabled: true } }).dispatch(message(1), ["both"]);
    expect(await redis.client.hget("undelivered_messages_api", "both"))
      .toBe('[{"op":0,"d":{"n":0},"t":"COUNT"},{"op":0,"d":{"n":1},"t":"COUNT"}]');
    const back = await user("both");
    const received = texts(await back.messages.next(), await back.messages.next());
    expect(received).toEqual([["COUNT", { n: 0 }, 1], ["COUNT", { n: 1 }, 2]]);
  });

  test("the script is the Rust dispatcher's, apart from comments", () => {
    const script = readFileSync(resolve(TRANSCRIPTS, "../../crates/redis/src/legacy/mesa/dispatch.lua"), "utf8");
    expect(DELIVER_OR_STORE).toBe(script.replace(/^[ \t]*--.*\n/gm, ""));
  });

  test("an audience that originals cannot express is rejected, and nothing is sent", async () => {
    const dispatcher = create(redis.url);
    const dispatched = (...to: Parameters<Dispatcher["dispatch"]>) => rejectionCode(dispatcher.dispatch(...to));
    expect(await dispatched(NOTE, ["*"], { rooms: ["lobby"] })).toBe("unsupported");
    expect(await dispatched(NOTE, { rooms: ["lobby"] })).toBe("unsupported");
    expect(await dispatched(NOTE, ["ann"], { tags: ["staff"] })).toBe("unsupported");
    expect(await dispatched(NOTE, { users: ["ann"] })).toBe("resolved: {}");
    expect(await rejectionCode(dispatcher.disconnect({ rooms: ["lobby"] }))).toBe("unsupported");
    expect(await rejectionCode(dispatcher.disconnect(["ann"], [], { code: 4003 }))).toBe("unsupported");
    expect(await rejectionCode(dispatcher.disconnect(["ann"], [], { reason: "banned" }))).toBe("unsupported");
    expect(await rejectionCode(dispatcher.disconnect(["ann"], [], { code: 1000, reason: "" }))).toBe("resolved: {}");
  });

  test("rejects while Redis is down, and works once it is back", async () => {
    let own = await startRedis();
    const dispatcher = create(own.url, { timeout: 200, sync: { enabled: true } });
    await dispatcher.dispatch(NOTE, ["ann"], [], { timeout: 10_000 });
    await own.stop();
    await expect.poll(() => rejectionCode(dispatcher.dispatch(NOTE, ["ann"]))).toBe("not_connected");
    const waiting = dispatcher.dispatch(message(1), ["ann"], [], { timeout: 20_000 });
    own = await startRedis(own.port);
    expect(await waiting).toEqual({ inboxes: 1 });
    expect(await own.client.hget("undelivered_messages_api", "ann")).toBe('[{"op":0,"d":{"n":1},"t":"COUNT"}]');
    await own.stop();
  });

  test("keeps nothing of the calls that gave up while Redis was down", async () => {
    const port = await freePort();
    const connection = new RedisConnection(`redis://127.0.0.1:${port}`);
    const calls = Array.from({ length: 50 }, () => rejectionCode(connection.run((client) => client.ping(), { timeout: 20 })));
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["not_connected"]));
    expect(connection.waiting).toBe(0);
    const ping = connection.run((client) => client.ping(), { timeout: 20_000 });
    expect(connection.waiting).toBe(1);
    const own = await startRedis(port);
    expect([await ping, connection.waiting]).toEqual(["PONG", 0]);
    await connection.close();
    await own.stop();
  });

  test("connects anew when its Redis has become a replica, and stores at the new master", async () => {
    const [old, next] = [await startRedis(), await startRedis()];
    const address = await TcpProxy.to(old.port);
    const dispatcher = create(`redis://127.0.0.1:${address.port}`, { sync: { enabled: true } });
    const byOptions = create({ host: "127.0.0.1", port: address.port }, { sync: { enabled: true } });
    for (const one of [dispatcher, byOptions]) expect(await one.dispatch(message(1), ["ann"])).toEqual({ inboxes: 1 });
    address.redirect(next.port);
    await old.client.replicaof("127.0.0.1", next.port);
    for (const one of [dispatcher, byOptions]) {
      await expect(one.dispatch(message(2), ["ann"])).rejects.toMatchObject({
        code: "redis_failed", message: expect.stringContaining("READONLY") as string,
      });
      expect(await one.dispatch(message(3), ["ann"])).toEqual({ inboxes: 1 });
    }
    const [stored, again] = [await next.client.hget("undelivered_messages_api", "ann"), '{"op":0,"d":{"n":3},"t":"COUNT"}'];
    expect(stored).toBe(`[${again},${again}]`);
    await Promise.all([dispatcher.close(), byOptions.close()]);
    await address.close();
    await Promise.all([old.stop(), next.stop()]);
  });

  test("a publication to a Redis that has become a replica is rejected, and the next one reaches the new master", async () => {
    const [old, next] = [await startRedis(), await startRedis()];
    const address = await TcpProxy.to(old.port);
    const dispatcher = create(`redis://127.0.0.1:${address.port}`);
    expect(await dispatcher.dispatch(message(1), ["ann"])).toEqual({});
    const received: string[] = [];
    const subscriber = next.client.duplicate();
    subscriber.on("message", (_: string, text: string) => received.push(text));
    await subscriber.subscribe("ws_api");
    address.redirect(next.port);
    await old.client.replicaof("127.0.0.1", next.port);
    // Calls that are under way together share the connection; each of them gets its own rejection.
    const lost = await Promise.allSettled([2, 3, 4].map((n) => dispatcher.dispatch(message(n), ["ann"])));
    for (const one of lost) {
      expect(one).toMatchObject({
        status: "rejected", reason: { code: "redis_failed", message: expect.stringContaining("replica") as string },
      });
    }
    await Promise.all([5, 6, 7].map((n) => dispatcher.dispatch(message(n), ["ann"], [], { timeout: 60_000 })));
    await expect.poll(() => received.length).toBe(3);
    expect(received.map((text) => (JSON.parse(text) as { message: { d: { n: number } } }).message.d.n)).toEqual([5, 6, 7]);
    subscriber.disconnect();
    await dispatcher.close();
    await address.close();
    await Promise.all([old.stop(), next.stop()]);
  });

  test("reports the error that Redis returns", async () => {
    await redis.client.set("connected_clients_wrong", "no set");
    const dispatcher = create(redis.url, { namespace: "wrong", sync: { enabled: true } });
    await expect(dispatcher.dispatch(NOTE, ["ann"])).rejects.toMatchObject({
      code: "redis_failed", message: expect.stringContaining("WRONGTYPE") as string,
    });
  });
});

describe("over HTTP", () => {
  test("reaches rooms, everyone except some, and other projects", async () => {
    const [ann, bob] = [await user("ann"), await user("bob")];
    const dispatcher = create(api, { key: KEY });
    await dispatcher.dispatch(message(1), ["*"], ["ann"]);
    await dispatcher.dispatch(message(2), { everyone: true }, { users: ["bob"] });
    const toSets = await dispatcher.dispatch(message(3), { rooms: ["lobby"], tags: ["staff"] });
    expect(toSets).toEqual({ socketsHere: 0 });
    expect(texts(await bob.messages.next())).toEqual([["COUNT", { n: 1 }, undefined]]);
    expect(texts(await ann.messages.next())).toEqual([["COUNT", { n: 2 }, undefined]]);
    const elsewhere = await create(api, { key: KEY, namespace: "elsewhere" }).dispatch(message(4), ["ann"]);
    expect(elsewhere).toEqual({ socketsHere: 0 });
  });

  test("disconnect closes with the given code and reason, and returns the number of sockets", async () => {
    const [ann, bob] = [await user("ann"), await user("bob")];
    const reasons: string[] = [];
    ann.client.on("disconnected", (_, reason) => reasons.push(reason));
    const dispatcher = create(api, { key: KEY });
    const closing = { code: 4003, reason: "banned", idempotencyKey: "ban-ann" };
    expect(await dispatcher.disconnect({ everyone: true }, { users: ["bob"] }, closing)).toEqual({ socketsHere: 1 });
    expect([await ann.closed, reasons]).toEqual([4003, ["banned"]]);
    const again = await user("ann");
    expect(await dispatcher.disconnect({ everyone: true }, { users: ["bob"] }, closing)).toEqual({ socketsHere: 1 });
    await dispatcher.dispatch(message(1), ["ann", "bob"]);
    for (const { messages } of [again, bob]) {
      expect(texts(await messages.next())).toEqual([["COUNT", { n: 1 }, undefined]]);
    }
  });

  test("a message has an overflow policy, and is then not stored", async () => {
    const ann = await user("ann");
    const dispatcher = create(api, { key: KEY, sync: { enabled: true } });
    for (const options of [{ policy: "latest", key: "k" }, { policy: "latest" }, { policy: "oldest" }, { policy: "volatile" }] as const) {
      expect(await dispatcher.dispatch(message(1), ["ann"], [], options)).toEqual({ socketsHere: 1 });
      await ann.messages.next();
    }
    const wrong = dispatcher.dispatch(message(1), ["ann"], [], { policy: "newest" as never });
    await expect(wrong).rejects.toMatchObject({ code: "bad_option" });
    await expect(dispatcher.dispatch(message(1), ["ann"], [], { key: "k" })).rejects.toMatchObject({ status: 400 });
  });

  test("a repeated idempotency key has no second effect, also from another Dispatcher", async () => {
    const ann = await user("ann");
    for (const dispatcher of [create(api, { key: KEY }), create(api, { key: KEY })]) {
      const sent = await dispatcher.dispatch(message(1), ["ann"], [], { idempotencyKey: "order-7" });
      expect(sent).toEqual({ socketsHere: 1 });
    }
    const other = create(api, { key: KEY }).dispatch(message(2), ["ann"], [], { idempotencyKey: "order-7" });
    await expect(other).rejects.toMatchObject({ code: "body_mismatch", status: 422 });
    await create(api, { key: KEY }).dispatch(message(3), ["ann"]);
    const received = texts(await ann.messages.next(), await ann.messages.next());
    expect(received.map(([, data]) => data)).toEqual([{ n: 1 }, { n: 3 }]);
  });

  test("an error of the API carries the API's code", async () => {
    const refused = create(api, { key: "another key, and as long as it" }).dispatch(NOTE, ["ann"]);
    await expect(refused).rejects.toBeInstanceOf(ApiError);
    await expect(refused).rejects.toMatchObject({ code: "unauthorized", status: 401 });
    const invalid = create(api, { key: KEY }).dispatch(NOTE, { sockets: ["no socket"] });
    const message = expect.stringContaining("sockets") as string;
    await expect(invalid).rejects.toMatchObject({ code: "invalid", status: 400, message });
    const huge = create(api, { key: KEY }).dispatch(new Message(0, "x".repeat(3_000_000), "HUGE"), ["ann"]);
    await expect(huge).rejects.toMatchObject({ code: "too_large", status: 413 });
    const unsendable = create(api, { key: KEY }).disconnect(["ann"], [], { code: 1006 });
    await expect(unsendable).rejects.toMatchObject({ code: "invalid", status: 400 });
  });

  test("rate-limited requests are retried later, and each takes effect once", async () => {
    const ann = await user("ann");
    const { server: slow, api: url } = await startApi(redis, ["api.requests_per_second=2"]);
    const impatient = create(url, { key: KEY, maxRetries: 0 });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => rejectionCode(impatient.dispatch(message(0), ["nobody"]))));
    expect(outcomes).toContain("too_many");
    const dispatcher = create(url, { key: KEY, maxRetries: 10 });
    await Promise.all([1, 2, 3, 4].map((n) => dispatcher.dispatch(message(n), ["ann"])));
    const received: unknown[] = [];
    while (received.length < 4) received.push((await ann.messages.next()).data);
    expect(received).toEqual(expect.arrayContaining([1, 2, 3, 4].map((n) => ({ n }))));
    await create(api, { key: KEY }).dispatch(message(5), ["ann"]);
    expect(texts(await ann.messages.next())).toEqual([["COUNT", { n: 5 }, undefined]]);
    await slow.stop();
  });

  test("a message that the server could not store is retried with the same key", async () => {
    const own = await startRedis();
    const { server: node, api: url } = await startApi(own, ["mesa.sync.enabled=true"]);
    await own.stop();
    const options = { key: KEY, sync: { enabled: true } };
    const refused = create(url, { ...options, maxRetries: 0 }).dispatch(NOTE, ["ann"]);
    await expect(refused).rejects.toMatchObject({ code: "not_stored", status: 503 });
    const waiting = create(url, { ...options, maxRetries: 20 }).dispatch(NOTE, ["ann"]);
    const back = await startRedis(own.port);
    expect(await waiting).toMatchObject({ inboxes: 1 });
    await node.stop();
    await back.stop();
  });

  test("lost answers, proxy errors and silence are retried; then the last error is reported", async () => {
    const keys: unknown[] = [];
    const answers: RequestListener[] = [
      (request) => request.socket.destroy(),
      (_, response) => response.writeHead(502).end("bad gateway"),
      (_, response) => response.end(JSON.stringify({ inboxes: 1, evicted: 0 })),
      (_, response) => response.writeHead(503).end("no JSON"),
    ];
    const fake = createServer((request, response) => {
      keys.push(request.headers["idempotency-key"]);
      (answers.shift() ?? (() => {}))(request, response);
    });
    await new Promise<void>((listening) => fake.listen(0, "127.0.0.1", listening));
    const url = `http://127.0.0.1:${(fake.address() as AddressInfo).port}/below/`;
    expect(await create(url, { key: KEY }).dispatch(NOTE, ["ann"])).toEqual({ inboxes: 1, evicted: 0 });
    expect(new Set(keys).size).toBe(1);
    const impatient = create(url, { key: KEY, maxRetries: 0 });
    await expect(impatient.dispatch(NOTE, ["ann"])).rejects.toMatchObject({ code: "unexpected", status: 503 });
    expect(await rejectionCode(impatient.dispatch(NOTE, ["ann"], [], { timeout: 300 }))).toBe("timeout");
    fake.closeAllConnections();
    await new Promise((closed) => fake.close(closed));
    expect(await rejectionCode(create(url, { key: KEY, maxRetries: 1 }).dispatch(NOTE, ["ann"]))).toBe("connect_failed");
  });
});

test("an invalid address, and an API without a key, are rejected", () => {
  for (const address of ["ftp://x", "localhost:6379", "http://x"]) {
    expect(thrownCode(() => new Dispatcher(address)), address).toBe("bad_option");
  }
  expect(thrownCode(() => new Dispatcher("redis://x", { namespace: "" }))).toBe("bad_option");
});

test("a token equals that of `switchboard token make`", () => {
  const check = (token: string) => {
    const args = ["token", "check", "--set", `auth.jwt_secret=${SECRET}`, token];
    return JSON.parse(execFileSync(BINARY, args, { encoding: "utf8" })) as unknown;
  };
  for (const expiresIn of ["15m", 900]) {
    const soon = Math.floor(Date.now() / 1000) + 900;
    expect(check(signToken({ id: "ann", role: "ä" }, SECRET, { expiresIn }))).toMatchObject({
      user: "ann", expires: expect.closeTo(soon, -1) as number,
    });
  }
  expect(check(signToken({ id: 7 }, SECRET))).toEqual({ user: "7", expires: null });
  for (const expiresIn of ["15", "soon", -1, NaN]) {
    expect(thrownCode(() => signToken({ id: "ann" }, SECRET, { expiresIn }))).toBe("bad_option");
  }
  for (const short of ["", "31 bytes are one too few, alas!", new Uint8Array(31)]) {
    expect(thrownCode(() => signToken({ id: "ann" }, short))).toBe("bad_option");
  }
  expect(signToken({ id: "ann" }, new Uint8Array(32)).split(".")).toHaveLength(3);
});
