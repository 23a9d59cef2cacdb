/**
 * The Portal for backends: with the real server, with an original one, and beside an original Portal.
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
import { disconnect, original as mesa, SECRET, startMesa } from "../support/mesa.js";
import { PackedPackage } from "../support/packedPackage.js";
import { startRedis, type RedisServer } from "../support/redis.js";

type Happening = readonly unknown[];

let redis: RedisServer;
const portals: Portal[] = [];
const POOL = "available_portals_pool_api";

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis?.stop());
afterEach(() => Promise.all(portals.splice(0).map((portal) => portal.close())));

function made(options: PortalOptions = {}): { portal: Portal; happened: ReceiveQueue<Happening> } {
  const portal = new Portal(redis.url, { namespace: "api", ...options });
  portals.push(portal);
  const happened = new ReceiveQueue<Happening>();
  portal.on("connection", () => happened.put(["connection"]));
  portal.on("authentication", (id) => happened.put(["authentication", id]));
  portal.on("message", ({ opcode, type, data }, id) => happened.put(["message", opcode, type, data, id]));
  portal.on("disconnection", (id) => happened.put(["disconnection", id]));
  return { portal, happened };
}

/** A server that takes tokens of the tests; where it listens, and its end. */
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
    disconnect(server);
  };
  return { url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`, stop };
}

describe.each([["the real server", real], ["an original server", original]])("with %s", (_, start) => {
  let server: Awaited<ReturnType<typeof real>>;
  beforeEach(async () => {
    server = await start();
  });
  const scouts: Client[] = [];
  afterEach(async () => {
    await Promise.all(scouts.splice(0).map((scout) => scout.disconnect()));
    await server.stop();
  });

  async function online(): Promise<Client> {
    const client = new Client(server.url, { WebSocket, reconnect: false });
    await client.connect();
    return client;
  }

  /** A client whose coming was the last that was reported. */
  async function connected({ happened }: { happened: ReceiveQueue<Happening> }): Promise<Client> {
    // A server that has not heard of the portal yet reports nothing, so another client speaks until it is heard.
    const scout = await online();
    scouts.push(scout);
    await expect.poll(() => {
      scout.send(0, {}, "HELLO");
      return happened.waiting.length;
    }).toBeGreaterThan(0);
    scout.send(0, {}, "LAST");
    await happened.nextWhere(([what, , type]) => what === "message" && type === "LAST");
    const client = await online();
    expect(await happened.next()).toEqual(["connection"]);
    return client;
  }

  test("hears what a client does, in order, in both styles", async () => {
    const heard = made();
    const { portal, happened } = heard;
    await portal.ready;
    const client = await connected(heard);
    const inStyle = new ReceiveQueue<unknown>();
    portal.onAuthentication = (id) => inStyle.put(id);
    portal.onMessage = (message, id) => inStyle.put([message, id]);
    portal.onDisconnection = (id) => inStyle.put(id);
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
    ]) expect(await happened.next()).toEqual(wanted);
    expect(await inStyle.next()).toEqual([expect.any(Message), undefined]);
    expect(await inStyle.next()).toBe("ann");
    expect(await inStyle.next()).toEqual([expect.objectContaining({ type: "NEW_MESSAGE" }), "ann"]);
    expect(await inStyle.next()).toEqual([expect.any(Message), "ann"]);
    expect(await inStyle.next()).toBe("ann");
  });

  test("answers as the pattern of a chat has it", async () => {
    const heard = made();
    const dispatcher = new Dispatcher(redis.url, { namespace: "api" });
    await heard.portal.ready;
    const [ann, bob] = [await connected(heard), await online()];
    heard.portal.onMessage = ({ data }, author) =>
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

test("shares the work with an original Portal, and hears what that does if it is asked to", async () => {
  const server = await real();
  const originalPortal = new mesa.Portal(redis.url, { namespace: "api" });
  const theirs: unknown[] = [];
  originalPortal.on("connection", () => theirs.push(1));
  const [sharing, all] = [made(), made({ reportAllEvents: true })];
  await Promise.all([sharing.portal.ready, all.portal.ready]);
  await expect.poll(() => redis.client.scard(POOL)).toBe(3);
  const clients: Client[] = [];
  // Reports take turns over those that the server has heard of.
  await expect.poll(async () => {
    const client = new Client(server.url, { WebSocket, reconnect: false });
    clients.push(client);
    await client.connect();
    return theirs.length && sharing.happened.waiting.length;
  }).toBeTruthy();
  const shared = () => theirs.length + sharing.happened.waiting.length;
  await expect.poll(() => all.happened.waiting.length - shared()).toBeGreaterThanOrEqual(0);
  expect(sharing.happened.waiting.length).toBeLessThan(clients.length);
  await Promise.all(clients.map((client) => client.disconnect()));
  await redis.client.srem(POOL, originalPortal.id);
  disconnect(originalPortal);
  await server.stop();
});

test("announces itself and its leaving, once each, and again when Redis has forgotten it", async () => {
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
  expect(announced.waiting).toEqual([]);
  hearing.disconnect();
  await own.stop();
});

test("reports that are none, and handlers that throw, are told and end nothing", async () => {
  const { portal, happened } = made();
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
  expect([await happened.next(), await happened.next()]).toEqual([["connection"], ["authentication", "7"]]);
  expect(thrownCode(() => new Portal("http://x"))).toBe("bad_option");
});

test("leaves at a signal if it was asked to, and the signal has its way", async () => {
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
