/**
 * The Portal with the real server, with an original server, and beside an original Portal.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Client, Message } from "../../src/mesa/index.js";
import { Dispatcher, Portal, signToken, type PortalOptions } from "../../src/server/index.js";
import { thrownCode } from "../support/errorCode.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { closeRedisConnections, original as mesa, SECRET, startMesa } from "../support/mesa.js";
import { PackedPackage } from "../support/packedPackage.js";
import { startRedis, type RedisServer } from "../support/redis.js";

type Report = readonly unknown[];

let redis: RedisServer;
const portals: Portal[] = [];
const POOL = "available_portals_pool_api";

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis?.stop());
afterEach(() => Promise.all(portals.splice(0).map((portal) => portal.close())));

function create(options: PortalOptions = {}): { portal: Portal; reports: ReceiveQueue<Report> } {
  const portal = new Portal(redis.url, { namespace: "api", ...options });
  portals.push(portal);
  const reports = new ReceiveQueue<Report>();
  portal.on("connection", () => reports.put(["connection"]));
  portal.on("authentication", (id) => reports.put(["authentication", id]));
  portal.on("message", ({ opcode, type, data }, id) => reports.put(["message", opcode, type, data, id]));
  portal.on("disconnection", (id) => reports.put(["disconnection", id]));
  return { portal, reports };
}

/** Starts a server that accepts the tokens of these tests. */
async function real(): Promise<{ url: string; stop: () => Promise<void> }> {
  const { url, stop } = await startMesa(redis, ["mesa.portal.enabled=true"]);
  return { url: `${url}/mesa`, stop };
}

async function original(): Promise<{ url: string; stop: () => Promise<void> }> {
  const http = createServer();
  const options = { namespace: "api", redis: redis.url, server: http, portal: { enabled: true }, gracefullyExit: false };
  const server = new mesa.default(options as never);
  server.on("connection", (client) =>
    client.authenticate(({ token }: { token: string }, done) => {
      const { id } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { id: string };
      done(null, { id, user: { id } });
    }),
  );
  await new Promise<void>((listening) => http.listen(0, "127.0.0.1", listening));
  const stop = async () => {
    http.closeAllConnections();
    http.close();
    closeRedisConnections(server);
  };
  return { url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`, stop };
}

describe.each([["the real server", real], ["an original server", original]])("with %s", (_, start) => {
  let server: Awaited<ReturnType<typeof real>>;
  beforeEach(async () => {
    server = await start();
  });
  const probes: Client[] = [];
  afterEach(async () => {
    await Promise.all(probes.splice(0).map((probe) => probe.disconnect()));
    await server.stop();
  });

  async function online(): Promise<Client> {
    const client = new Client(server.url, { WebSocket, reconnect: false });
    await client.connect();
    return client;
  }

  /** Connects a client; its connection is the latest report. */
  async function connected({ reports }: { reports: ReceiveQueue<Report> }): Promise<Client> {
    // A server reports only once it knows the portal, so another client sends until a report arrives.
    const probe = await online();
    probes.push(probe);
    await expect.poll(() => {
      probe.send(0, {}, "HELLO");
      return reports.pending.length;
    }).toBeGreaterThan(0);
    probe.send(0, {}, "LAST");
    await reports.nextWhere(([kind, , type]) => kind === "message" && type === "LAST");
    const client = await online();
    expect(await reports.next()).toEqual(["connection"]);
    return client;
  }

  test("receives the actions of a client in order, with both kinds of listener", async () => {
    const received = create();
    const { portal, reports } = received;
    await portal.ready;
    const client = await connected(received);
    const fromHandlers = new ReceiveQueue<unknown>();
    portal.onAuthentication = (id) => fromHandlers.put(id);
    portal.onMessage = (message, id) => fromHandlers.put([message, id]);
    portal.onDisconnection = (id) => fromHandlers.put(id);
    client.send(0, { early: true }, "BEFORE");
    await client.authenticate({ token: signToken({ id: "ann" }, SECRET) });
    client.send(0, { content: "hi" }, "NEW_MESSAGE");
    client.send(7, {}, "ODD");
    await client.disconnect();
    for (const wanted of [
      ["message", 0, "BEFORE", { early: true }, undefined],
      ["authentication", "ann"],
      ["message", 0, "NEW_MESSAGE", { content: "hi" }, "ann"],
      ["message", 7, "ODD", {}, "ann"],
      ["disconnection", "ann"],
    ]) expect(await reports.next()).toEqual(wanted);
    expect(await fromHandlers.next()).toEqual([expect.any(Message), undefined]);
    expect(await fromHandlers.next()).toBe("ann");
    expect(await fromHandlers.next()).toEqual([expect.objectContaining({ type: "NEW_MESSAGE" }), "ann"]);
    expect(await fromHandlers.next()).toEqual([expect.any(Message), "ann"]);
    expect(await fromHandlers.next()).toBe("ann");
  });

  test("a Portal and a Dispatcher form a chat backend", async () => {
    const received = create();
    const dispatcher = new Dispatcher(redis.url, { namespace: "api" });
    await received.portal.ready;
    const [ann, bob] = [await connected(received), await online()];
    received.portal.onMessage = ({ data }, author) =>
      dispatcher.dispatch(new Message(0, { data, author }, "NEW_MESSAGE"), ["ann", "bob"], [author ?? ""]);
    const messages = new ReceiveQueue<Message>();
    bob.on("message", messages.put);
    await ann.authenticate({ token: signToken({ id: "ann" }, SECRET) });
    await bob.authenticate({ token: signToken({ id: "bob" }, SECRET) });
    ann.send(0, { content: "hi" }, "SAY");
    const data = { data: { content: "hi" }, author: "ann" };
    expect(await messages.next()).toMatchObject({ type: "NEW_MESSAGE", data });
    await Promise.all([ann.disconnect(), bob.disconnect(), dispatcher.close()]);
  });
});

test("shares reports with an original Portal, and receives all with `reportAllEvents`", async () => {
  const server = await real();
  const originalPortal = new mesa.Portal(redis.url, { namespace: "api" });
  const theirs: unknown[] = [];
  originalPortal.on("connection", () => theirs.push(1));
  const [sharing, all] = [create(), create({ reportAllEvents: true })];
  await Promise.all([sharing.portal.ready, all.portal.ready]);
  await expect.poll(() => redis.client.scard(POOL)).toBe(3);
  const clients: Client[] = [];
  // Reports rotate over the portals that the server knows.
  await expect.poll(async () => {
    const client = new Client(server.url, { WebSocket, reconnect: false });
    clients.push(client);
    await client.connect();
    return theirs.length && sharing.reports.pending.length;
  }).toBeTruthy();
  const shared = () => theirs.length + sharing.reports.pending.length;
  await expect.poll(() => all.reports.pending.length - shared()).toBeGreaterThanOrEqual(0);
  expect(sharing.reports.pending.length).toBeLessThan(clients.length);
  await Promise.all(clients.map((client) => client.disconnect()));
  await redis.client.srem(POOL, originalPortal.id);
  closeRedisConnections(originalPortal);
  await server.stop();
});

test("joins and leaves the pool with one announcement each, and joins again after Redis lost its data", async () => {
  let own = await startRedis();
  const announced = new ReceiveQueue<unknown>();
  const watch = async () => {
    const hearing = own.client.duplicate();
    hearing.on("message", (_: string, text: string) => announced.put(JSON.parse(text)));
    await hearing.subscribe(POOL);
    return hearing;
  };
  let hearing = await watch();
  const portal = new Portal(own.url, { namespace: "api" });
  await portal.ready;
  expect(await announced.next()).toEqual({ id: portal.id, ready: true });
  expect(await own.client.smembers(POOL)).toEqual([portal.id]);
  hearing.disconnect();
  await own.stop();
  own = await startRedis(own.port);
  hearing = await watch();
  await expect.poll(() => own.client.smembers(POOL)).toEqual([portal.id]);
  await portal.close();
  await portal.close();
  const left = await announced.nextWhere((said) => !(said as { ready: boolean }).ready);
  expect(left).toEqual({ id: portal.id, ready: false });
  expect(await own.client.smembers(POOL)).toEqual([]);
  expect(announced.pending).toEqual([]);
  hearing.disconnect();
  await own.stop();
});

test("malformed reports and handlers that throw raise `error`, and the portal stays open", async () => {
  const { portal, reports } = create();
  const errors = new ReceiveQueue<unknown>();
  portal.on("error", errors.put);
  await portal.ready;
  portal.onConnection = () => {
    throw new Error("oh");
  };
  const unknown = ["dance", "message"].map((type) => JSON.stringify({ type, portalId: portal.id }));
  for (const text of ["{bad", "[]", "null", ...unknown]) {
    await redis.client.publish("portal_api", text);
    expect(await errors.next()).toMatchObject({ code: "bad_frame", frame: text });
  }
  await redis.client.publish("portal_api", JSON.stringify({ type: "connection", portalId: portal.id }));
  expect(await errors.next()).toMatchObject({ code: "listener_failed", event: "connection" });
  await redis.client.publish("portal_api", JSON.stringify({ type: "connection", portalId: "another" }));
  const seven = { type: "authentication", portalId: portal.id, clientId: 7 };
  await redis.client.publish("portal_api", JSON.stringify(seven));
  expect([await reports.next(), await reports.next()]).toEqual([["connection"], ["authentication", "7"]]);
  expect(thrownCode(() => new Portal("http://x"))).toBe("bad_option");
});

test("with `leaveOnSignals` it leaves at a signal, which then ends the process", async () => {
  const packed = PackedPackage.install();
  symlinkSync(resolve("node_modules/ioredis"), join(packed.folder, "node_modules/ioredis"));
  packed.write("portal.mjs", `
    import { Portal } from "switchboard-sdk/server";
    const portal = new Portal("${redis.url}", { namespace: "api", leaveOnSignals: true, verbose: true });
    await portal.ready;
  `);
  const child = spawn(process.execPath, ["portal.mjs"], { cwd: packed.folder, stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  await once(child.stdout, "data");
  expect(await redis.client.scard(POOL)).toBe(1);
  child.kill("SIGTERM");
  expect(await exit).toEqual([null, "SIGTERM"]);
  expect(await redis.client.scard(POOL)).toBe(0);
  packed.remove();
});
