/**
 * The emit client against the real server: every public method and its guarantees.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";

import { EmitClient, RateLimitedError, RefusedError, type EmitClientOptions, type StateChange } from "../../src/client/index.js";
import { rejectionCode, thrownCode } from "../support/errorCode.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort, startServer, type Server } from "../support/server.js";

interface Chat {
  emits: { "/message": { room?: string; text: string } };
  requests: {
    "/join": { data: { room: string; username: string }; reply: { joined: string } };
    "/ping": { data: undefined; reply: { pong: true; time: number } };
    "/game/lobby/join": { data: undefined; reply: { ns: string } };
    "/ask": { data: unknown; reply: { answer: unknown } };
  };
  events: { message: { username: string | null; text: string }; "user-joined": { username: string } };
  serverRequests: { "/client/ask": { data: { q: number }; reply: { yes: number } } };
}

/** Reconnects fast enough for a server restart within a test. */
const fast = { reconnect: true, reconnectDelay: 20, maxReconnectDelay: 200, maxRetries: Infinity, WebSocket } satisfies EmitClientOptions;

let server: Server;
const open: EmitClient<never>[] = [];

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());
afterEach(() => Promise.all(open.splice(0).map((client) => client.close())));

async function connected(options: EmitClientOptions = {}, url = server.url): Promise<EmitClient<Chat>> {
  const client = await EmitClient.connect<Chat>(url, { WebSocket, ...options });
  open.push(client as EmitClient<never>);
  return client;
}

describe("a client", () => {
  test("gets replies, and receives events in the order in which they were sent", async () => {
    const [ann, ben] = [await connected(), await connected()];
    const received = new ReceiveQueue<string>();
    expect(await ann.request("/join", { room: "order", username: "Ann" })).toEqual({ joined: "order" });
    ann.on("user-joined", ({ username }) => received.put(username));
    ann.on("message", ({ text }) => received.put(text));
    await ben.request("/join", { room: "order", username: "Ben" });
    for (const text of ["1", "2", "3"]) ben.emit("/message", { room: "order", text });
    expect([await received.next(), await received.next(), await received.next(), await received.next()]).toEqual([
      "Ben", "1", "2", "3",
    ]);
  });

  test("removes listeners by listener and by event", async () => {
    const client = await connected();
    const received: string[] = [];
    const listener = (name: string) => () => received.push(name);
    const [a, b] = [listener("a"), listener("b")];
    // Calls chain, as those of the original do.
    client.on("message", a).on("message", b).on("message", listener("c")).set("name", "Ann").off("user-joined");
    const sendMessage = async () => {
      client.emit("/message", { room: "undo", text: "x" });
      await client.request("/ping");
      return received.splice(0);
    };
    await client.request("/join", { room: "undo", username: "Ann" });
    expect(await sendMessage()).toEqual(["a", "b", "c"]);
    client.off("message", a).off("message", b);
    expect(await sendMessage()).toEqual(["c"]);
    client.off("message");
    expect(await sendMessage()).toEqual([]);
  });

  test("replies to server requests, also asynchronously, and does not if the handler fails", async () => {
    const client = await connected();
    client.handle("/client/ask", async ({ q }) => ({ yes: q + 1 }));
    expect(await client.request("/ask", { q: 1 })).toEqual({ answer: { yes: 2 } });
    const errors = new ReceiveQueue<unknown>();
    client.on("@error", errors.put);
    client.handle("/client/ask", () => {
      throw new Error("no");
    });
    void client.request("/ask", { q: 1 }).catch(() => {});
    expect(await errors.next()).toMatchObject({ code: "listener_failed", event: "/client/ask" });
    expect(client.connected).toBe(true);
  });

  test("nests namespaces", async () => {
    const client = await connected();
    const lobby = client.ns("/game").ns("/lobby");
    expect(await lobby.request("/join")).toEqual({ ns: "/game/lobby", joined: true });
  });

  test("stores values", async () => {
    const client = await connected();
    client.set("name", "Ann");
    expect(client.get("name")).toBe("Ann");
    expect(client.get("age")).toBeUndefined();
  });

  test("distinguishes an error reply from a result", async () => {
    const client = await EmitClient.connect(server.url, { WebSocket });
    open.push(client as EmitClient<never>);
    expect(await client.request("/profile")).toEqual({ error: "Unauthorized" });
    const refused = client.request("/announce", { to: "nowhere", data: 1 });
    await expect(refused).rejects.toBeInstanceOf(RefusedError);
    await expect(refused).rejects.toMatchObject({ code: "refused", serverCode: expect.any(String) });
  });

  test("rejects a request over a rate with the time to wait", async () => {
    const fake = await FakeServer.start();
    const [client, peer] = [await EmitClient.connect(fake.url, { WebSocket }), await fake.sockets.next()];
    for (const [more, retryAfterMs] of [[{ retry_after_ms: 250 }, 250], [{}, 0]] as const) {
      const refused = client.request("/message", { text: "hi" });
      const data = { error: "too many", code: "rate_limited", ...more };
      peer.send({ type: "ack", ackId: (await peer.next())["ackId"], data });
      await expect(refused).rejects.toBeInstanceOf(RateLimitedError);
      await expect(refused).rejects.toMatchObject({ code: "rate_limited", serverCode: "rate_limited", retryAfterMs });
    }
    await client.close();
    await fake.stop();
  });

  test("rejects a request whose event nothing handles, and reports similar replies of handlers as results", async () => {
    const client = await EmitClient.connect(server.url, { WebSocket });
    open.push(client as EmitClient<never>);
    for (const refused of [client.request("/joined"), client.ns("/game").request("/lobby")]) {
      await expect(refused).rejects.toBeInstanceOf(RefusedError);
      await expect(refused).rejects.toMatchObject({ name: "RefusedError", code: "no_handler", serverCode: "no_handler" });
    }
    await expect(client.request("/joined")).rejects.toThrow("No handler for: /joined");
    const fake = await FakeServer.start();
    const [similar, peer] = [await EmitClient.connect(fake.url, { WebSocket }), await fake.sockets.next()];
    for (const data of [{ error: "No handler for: x", tries: 3 }, { error: "No handler" }, ["No handler for: x"], "No handler for: x"]) {
      const reply = similar.request("/x");
      peer.send({ type: "ack", ackId: (await peer.next())["ackId"], data });
      expect(await reply).toEqual(data);
    }
    await similar.close();
    await fake.stop();
  });

  test("raises @any for events of every name", async () => {
    const client = await connected();
    const all = new ReceiveQueue<unknown>();
    client.on("@any", all.put);
    await client.request("/join", { room: "any", username: "Ann" });
    client.emit("/message", { room: "any", text: "x" });
    expect(await all.next()).toEqual({ event: "message", data: { username: "Ann", text: "x" } });
  });

  test("ends a request at its timeout, its signal and the close of its connection", async () => {
    const client = await EmitClient.connect(server.url, { WebSocket });
    expect(await rejectionCode(client.request("/slow", { ms: 5000 }, { timeout: 20 }))).toBe("timeout");
    const stop = new AbortController();
    const aborted = client.request("/slow", { ms: 5000 }, { signal: stop.signal });
    stop.abort("enough");
    expect(await rejectionCode(aborted)).toBe("aborted");
    expect(await rejectionCode(client.request("/slow", {}, { signal: stop.signal }))).toBe("aborted");
    const cut = client.request("/slow", { ms: 5000 });
    void client.close();
    expect(await rejectionCode(cut)).toBe("disconnected");
    expect(await rejectionCode(client.request("/ping"))).toBe("not_connected");
    expect(() => client.emit("/ping")).toThrow("not connected: closed; call open() and await it");
    expect(thrownCode(() => client.emit("/message"))).toBe("not_connected");
    client.emit("/message", {}, { volatile: true });
  });

  test("rejects data that JSON cannot represent, invalid names and oversized messages", async () => {
    const client = await EmitClient.connect(server.url, { WebSocket });
    open.push(client as EmitClient<never>);
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    for (const data of [circle, 1n, () => 1, Symbol("s"), NaN, { deep: [Infinity] }, new Map(), { f() {} }]) {
      expect(thrownCode(() => client.emit("/echo", data))).toBe("bad_data");
    }
    expect(await rejectionCode(client.request("/echo", 1n))).toBe("bad_data");
    for (const [name, message] of [
      ["", "the event name is empty"],
      ["@connection", `the event name "@connection" begins with @, which is reserved`],
      ["x".repeat(257), /has 257 bytes; at most 256 are allowed$/],
      ["é".repeat(129), /has 258 bytes; at most 256 are allowed$/],
    ] as const) {
      expect(() => client.emit(name)).toThrow(message);
      expect(thrownCode(() => client.emit(name))).toBe("bad_data");
    }
    expect(thrownCode(() => client.emit("/echo", "x".repeat(1_048_576)))).toBe("too_large");
    expect(() => client.emit("/echo", "x".repeat(2_000_000)))
      .toThrow("the message has 2,000,027 bytes; messageBytesMax is 1,048,576");
    expect(thrownCode(() => client.emit("/echo", "é".repeat(524_288)))).toBe("too_large");
    const largest = "x".repeat(1_048_576 - `{"event":"/echo","data":"","ackId":"99"}`.length);
    expect(await client.request("/echo", largest)).toEqual({ data: largest });
    expect(await client.request("/echo", new Date(0))).toEqual({ data: "1970-01-01T00:00:00.000Z" });
  });

  test("rejects connect to a closed port, an invalid address and an endpoint of another protocol", async () => {
    const nobody = `ws://127.0.0.1:${await freePort()}`;
    expect(await rejectionCode(EmitClient.connect(nobody, { WebSocket }))).toBe("connect_failed");
    expect(await rejectionCode(EmitClient.connect("mailto:ann", { WebSocket }))).toBe("bad_option");
    const refused = server.url + `/koji?projectId=${"x".repeat(257)}`;
    expect(await rejectionCode(EmitClient.connect(refused, { WebSocket, reconnect: true }))).toBe("connect_failed");
    const stop = new AbortController();
    const aborted = EmitClient.connect(nobody, { WebSocket, signal: stop.signal });
    stop.abort();
    expect(await rejectionCode(aborted)).toBe("aborted");
  });

  test("reconnects after a server restart, and sends queued messages after its listeners' joins", async () => {
    const port = await freePort();
    let own = await startServer({ port });
    const client = await connected(fast, own.url);
    const states = new ReceiveQueue<StateChange>();
    const received = new ReceiveQueue<string>();
    client.on("@state", states.put);
    client.on("message", ({ text }) => received.put(text));
    client.on("@reconnect", () => client.request("/join", { room: "again", username: "Ann" }));
    const ping = client.request("/ping");
    await ping;
    await own.stop();
    expect(await states.next()).toMatchObject({
      previous: "connected", state: "reconnecting", code: 1012, willReconnect: true,
    });
    client.emit("/message", { room: "again", text: "queued" });
    client.emit("/message", { room: "again", text: "lost" }, { volatile: true });
    own = await startServer({ port });
    expect(await received.next()).toBe("queued");
    await client.close();
    await own.stop();
    expect(await client.close()).toBeUndefined();
    expect(client.state).toBe("closed");
  });

  test("stays closed without `reconnect`, and can be opened again", async () => {
    const port = await freePort();
    let own = await startServer({ port });
    const client = await connected({}, own.url);
    const gone = new ReceiveQueue<StateChange>();
    client.on("@disconnect", gone.put);
    await own.stop();
    expect(await gone.next()).toMatchObject({ state: "closed", code: 1012, willReconnect: false });
    own = await startServer({ port });
    await client.open();
    expect(await client.request("/ping")).toMatchObject({ pong: true });
    await client.close();
    await own.stop();
  });
});

describe("schemas", () => {
  const schemas = {
    emits: { "/message": z.object({ room: z.string(), text: z.string().max(3) }) },
    requests: {
      "/echo": { data: z.number(), reply: z.object({ data: z.number().transform((n) => n * 2) }) },
      "/whoami": { reply: z.object({ name: z.string() }) },
    },
    events: { message: z.object({ text: z.string().regex(/^[ab]$/) }) },
  } as const;

  test("validate sent data, replies and received events", async () => {
    const client = await EmitClient.connect(server.url, { WebSocket, schemas });
    open.push(client as unknown as EmitClient<never>);
    const reply: { data: number } = await client.request("/echo", 21);
    expect(reply).toEqual({ data: 42 });
    expect(await rejectionCode(client.request("/echo", "x" as unknown as number))).toBe("invalid_data");
    expect(await rejectionCode(client.request("/whoami"))).toBe("invalid_data");
    await expect(client.request("/whoami")).rejects.toThrow(/^the data of \/whoami does not match its schema: name: /);
    expect(thrownCode(() => client.emit("/message", { room: "schemas", text: "long" }))).toBe("invalid_data");
    const other = await connected();
    const [received, errors] = [new ReceiveQueue<string>(), new ReceiveQueue<unknown>()];
    client.on("message", ({ text }) => received.put(text));
    client.on("@error", errors.put);
    await (client as unknown as EmitClient).request("/join", { room: "schemas" });
    for (const text of ["a", "x", "b"]) other.emit("/message", { room: "schemas", text });
    expect([await received.next(), await received.next()]).toEqual(["a", "b"]);
    expect(await errors.next()).toMatchObject({ code: "invalid_data", event: "message" });
  });
});
