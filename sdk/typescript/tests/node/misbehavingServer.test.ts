/**
 * Servers that violate the protocol: both clients stay connected, report the error, and follow close codes.
 */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import { EmitClient, type EmitClientOptions, type StateChange } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT, type DispatchOptions } from "../../src/dispatch/index.js";
import { rejectionCode } from "../support/errorCode.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort } from "../support/server.js";

const fast = { WebSocket, reconnect: true, reconnectDelay: 5, maxReconnectDelay: 20 };

let server: FakeServer;
beforeEach(async () => {
  server = await FakeServer.start();
});
afterEach(() => server.stop());

async function emitPair(options: EmitClientOptions = {}) {
  const client = await EmitClient.connect(server.url, { ...fast, ...options });
  const errors = new ReceiveQueue<{ code: string }>();
  const states = new ReceiveQueue<StateChange>();
  client.on("@error", errors.put);
  client.on("@state", states.put);
  return { client, errors, states, peer: await server.sockets.next() };
}

async function koji(options: DispatchOptions = {}) {
  const dispatch = new Dispatch({ projectId: "p", host: server.url, options: { ...fast, ...options } });
  const errors = new ReceiveQueue<{ code: string }>();
  const states = new ReceiveQueue<StateChange>();
  dispatch.on(DISPATCH_EVENT.ERROR, errors.put);
  dispatch.on(DISPATCH_EVENT.STATE, states.put);
  const connected = dispatch.connect();
  const peer = await server.sockets.next();
  peer.sendConnected();
  await connected;
  await states.next();
  await states.next();
  return { dispatch, errors, states, peer };
}

const NO_JSON_OBJECT = ["", "no JSON", "{", "null", "[]", "5", '"x"', "true"];

describe("bad input", () => {
  test("malformed frames are reported by an emit client, which stays connected", async () => {
    const { client, errors, peer } = await emitPair();
    const received = new ReceiveQueue<unknown>();
    client.on("ok", received.put);
    const bad = [
      ...NO_JSON_OBJECT, "{}", '{"event":5}', '{"event":null}', '{"event":""}', '{"data":1}',
      '{"event":"@disconnect"}', '{"event":["ok"]}', '{"event":{}}',
    ];
    for (const frame of bad) peer.send(frame);
    peer.socket.send(Buffer.from('{"event":"ok"}'));
    // Ignored: unexpected replies, and types of a later version.
    for (const frame of ['{"type":"ack"}', '{"type":"ack","ackId":{}}', '{"type":"x","event":"ok"}']) peer.send(frame);
    peer.send({ event: "ok", data: 1, more: 2, type: "" });
    expect(await received.next()).toBe(1);
    expect(errors.pending.map(({ code }) => code)).toEqual([...bad, "binary"].map(() => "bad_frame"));
    expect(client.connected).toBe(true);
    await client.close();
  });

  test("malformed frames are reported by a dispatch, which stays connected", async () => {
    const { dispatch, errors, peer } = await koji();
    const received = new ReceiveQueue<unknown>();
    dispatch.on("ok", (payload, metadata) => received.put([payload, metadata]));
    const P = "@@KOJI_DISPATCH/";
    const bad = [
      ...NO_JSON_OBJECT, "{}", '{"eventName":5}', '{"eventName":""}', '{"eventName":["ok"]}',
      ...[`${P}CONNECTED`, `${P}CONNECTED_CLIENTS_CHANGED`].flatMap((eventName) =>
        [null, 5, [], {}, { clientId: 5 }, { connectedClients: [] }].map((payload) => JSON.stringify({ eventName, payload })),
      ),
      JSON.stringify({ eventName: `${P}error`, payload: {} }),
      JSON.stringify({ eventName: `${P}state`, payload: {} }),
    ];
    for (const frame of bad) peer.send(frame);
    for (const payload of [null, 5, {}, { version: 1 }, { version: 2, joined: 1, updated: {}, left: 5 }]) {
      peer.send({ eventName: `${P}CONNECTED_CLIENTS_CHANGES`, payload });
    }
    peer.send({ eventName: "ok", payload: 7, latencyMs: "x" });
    expect(await received.next()).toEqual([7, expect.anything()]);
    expect(errors.pending.map(({ code }) => code)).toEqual(bad.map(() => "bad_frame"));
    expect(dispatch.connectedClients).toEqual([]);
    // A malformed change counts as a lost one: the full list is requested, once.
    expect(await peer.next()).toEqual({ eventName: `${P}GET_CONNECTED_CLIENTS` });
    expect(peer.frames.pending).toEqual([]);
    await dispatch.disconnect();
  });

  test("a listener that throws does not stop the others", async () => {
    const { client, errors, peer } = await emitPair();
    const received = new ReceiveQueue<unknown>();
    client.on("x", () => {
      throw new Error("first");
    });
    client.on("x", () => Promise.reject(new Error("second")));
    client.on("x", received.put);
    peer.send({ event: "x", data: 1 });
    expect(await received.next()).toBe(1);
    expect([await errors.next(), await errors.next()]).toMatchObject([
      { code: "listener_failed", cause: { message: "first" } },
      { code: "listener_failed", cause: { message: "second" } },
    ]);
    await client.close();
  });

  test("an error listener that throws is reported on the console only", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { client, peer } = await emitPair();
    client.on("@error", () => {
      throw new Error("worse");
    });
    const received = new ReceiveQueue<unknown>();
    client.on("ok", received.put);
    peer.send("no JSON");
    peer.send({ event: "ok", data: 1 });
    await received.next();
    expect(logged).toHaveBeenCalledOnce();
    logged.mockRestore();
    await client.close();
  });
});

describe("close codes", () => {
  const again = [1001, 1011, 1012, 1013, 1009];
  const away = [1000, 1002, 1003, 1007, 3000, 4001, 4999];

  test.each([...again.map((code) => [code, true] as const), ...away.map((code) => [code, false] as const)])(
    "%i: reconnect is %s",
    async (code, willReconnect) => {
      const { client, states, peer } = await emitPair();
      peer.socket.close(code, "why");
      expect(await states.next()).toMatchObject({ code, reason: "why", willReconnect });
      if (willReconnect) await server.sockets.next();
      else expect(client.state).toBe("closed");
      await client.close();
    },
  );

  test("the client reconnects after a close without a code and after a cut connection", async () => {
    const { client, states, peer } = await emitPair();
    peer.socket.close();
    expect(await states.next()).toMatchObject({ code: 1005, willReconnect: true });
    (await server.sockets.next()).socket.terminate();
    expect(await states.nextWhere(({ code }) => code === 1006)).toMatchObject({ willReconnect: true });
    await server.sockets.next();
    await client.close();
  });

  test("after 1008 the client reconnects after a long delay", async () => {
    const { client, states, peer } = await emitPair({ maxReconnectDelay: 60_000 });
    peer.socket.close(1008, "slower");
    const { willReconnect, delay } = await states.next();
    expect(willReconnect).toBe(true);
    expect(delay).toBeGreaterThanOrEqual(30_000);
    await client.close();
  });

  test("if `shouldReconnect` throws, the table of close codes decides", async () => {
    const { client, errors, states, peer } = await emitPair({
      shouldReconnect: () => {
        throw new Error("no idea");
      },
    });
    peer.socket.close(1012);
    expect(await errors.next()).toMatchObject({ code: "listener_failed", event: "shouldReconnect" });
    expect(await states.next()).toMatchObject({ willReconnect: true });
    await server.sockets.next();
    await client.close();
  });

  test("`shouldReconnect` overrides the table of close codes", async () => {
    const shouldReconnect = (code: number) => (code === 4001 ? true : code === 1012 ? false : undefined);
    const { client, states, peer } = await emitPair({ shouldReconnect });
    peer.socket.close(4001);
    expect(await states.next()).toMatchObject({ willReconnect: true });
    (await server.sockets.next()).socket.close(1012);
    expect(await states.nextWhere(({ code }) => code === 1012)).toMatchObject({ willReconnect: false });
    await client.close();
  });
});

describe("a misbehaving server", () => {
  test("that is silent is detected by the watchdog, and the client reconnects", async () => {
    const { client, states, peer } = await emitPair({ watchdogInterval: 20, watchdogTimeout: 20 });
    expect(await peer.next()).toEqual({ event: "@alive", ackId: "@alive" });
    expect(await states.next()).toMatchObject({ code: 1006, reason: "the server did not answer within 20 ms", willReconnect: true });
    await client.close();
  });

  test("that answers the watchdog's probes keeps its connection", async () => {
    const { client, states, peer } = await emitPair({ watchdogInterval: 20, watchdogTimeout: 1500 });
    for (let beat = 0; beat < 2; beat++) {
      const { ackId } = await peer.next();
      peer.send({ type: "ack", ackId, data: { error: "No handler for: @alive" } });
    }
    expect(states.pending).toEqual([]);
    await client.close();
  });

  test("that never sends CONNECTED makes connect reject", async () => {
    const dispatch = new Dispatch({ projectId: "p", host: server.url });
    expect(await rejectionCode(dispatch.connect({ ...fast, connectTimeout: 30 }))).toBe("timeout");
    expect(await rejectionCode(dispatch.connect({ connectTimeout: 0, timeout: 30 }))).toBe("timeout");
    expect(dispatch.state).toBe("closed");
  });

  test("that closes before CONNECTED makes connect reject with its reason", async () => {
    const dispatch = new Dispatch({ projectId: "p", host: server.url, options: fast });
    const connected = dispatch.connect();
    (await server.sockets.next()).socket.close(1013, "the project is full");
    await expect(connected).rejects.toMatchObject({
      code: "connect_failed", closeCode: 1013, reason: "the project is full",
    });
  });

  test("that floods the client with events does not make requests time out", async () => {
    const { client, peer } = await emitPair();
    let count = 0;
    client.on("flood", () => count++);
    const reply = client.request("/x", {}, { timeout: 20_000 });
    const { ackId } = await peer.next();
    for (let i = 0; i < 50_000; i++) peer.send('{"event":"flood","data":{"x":[1,2,3]}}');
    peer.send({ type: "ack", ackId, data: "done" });
    expect(await reply).toBe("done");
    expect(count).toBe(50_000);
    await client.close();
  });

  test("that sends 257 requests at once gets 256 replies", async () => {
    const { client, errors, peer } = await emitPair();
    let finish = () => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    client.handle("/q", () => finished);
    for (let id = 1; id <= 257; id++) peer.send({ event: "/q", ackId: `${id}` });
    expect(await errors.next()).toMatchObject({ code: "listener_failed" });
    finish();
    for (let id = 1; id <= 256; id++) expect(await peer.next()).toEqual({ type: "ack", ackId: `${id}`, data: null });
    await client.close();
  });

  test("gets no reply on the next connection to a request of the lost one", async () => {
    const { client, peer } = await emitPair();
    let finish = () => {};
    client.handle("/q", () => new Promise<void>((resolve) => (finish = resolve)));
    peer.send({ event: "/q", ackId: "1" });
    client.on("@reconnect", () => finish());
    client.request("/seen").catch(() => {});
    await peer.next();
    peer.socket.close(1012);
    const next = await server.sockets.next();
    await new Promise<void>((resolve) => void client.on("@reconnect", () => resolve()));
    client.emit("/first");
    expect(await next.next()).toMatchObject({ event: "/first" });
    await client.close();
  });

  test("that is down receives the queued messages in order, up to the bound of the queue", async () => {
    const { client, peer, states } = await emitPair({ queueBytesMax: 60 });
    peer.socket.close(1012);
    await states.next();
    client.emit("/a", 1).emit("/b", 2);
    expect(() => client.emit("/c", 3)).toThrow(expect.objectContaining({
      code: "queue_full", message: "the offline queue has 69 bytes; queueBytesMax is 60",
    }) as Error);
    const next = await server.sockets.next();
    expect([await next.next(), await next.next()]).toEqual([{ event: "/a", data: 1 }, { event: "/b", data: 2 }]);
    await client.close();
  });

  test("that does not return makes the client close after `maxRetries` attempts", async () => {
    const { client, states, peer } = await emitPair({ maxRetries: 3 });
    const port = server.port;
    await server.stop();
    void peer;
    const end = await states.nextWhere(({ state }) => state === "closed");
    expect(end).toMatchObject({ attempt: 3, willReconnect: false, error: { code: "connect_failed" } });
    expect(client.connected).toBe(false);
    server = await FakeServer.start(port);
  });
});

describe("tokens", () => {
  test("`getToken` is called before every connection of an emit client", async () => {
    const reasons: string[] = [];
    const getToken = ({ reason }: { reason: string }) => `t ${reasons.push(reason)}`;
    const { client, peer } = await emitPair({ getToken });
    expect(peer.url).toBe("/?token=t+1&sb=1");
    peer.socket.close(1012);
    expect((await server.sockets.next()).url).toBe("/?token=t+2&sb=1");
    expect(reasons).toEqual(["connect", "reconnect"]);
    await client.close();
  });

  test("if `getToken` fails, the first connect rejects, and a reconnect calls it again", async () => {
    const getToken = () => Promise.reject(new Error("no"));
    expect(await rejectionCode(EmitClient.connect(server.url, { ...fast, getToken }))).toBe("token_failed");
    let fails = false;
    const { client, errors, peer } = await emitPair({
      getToken: () => {
        fails = !fails;
        if (!fails) throw new Error("no");
        return "t";
      },
    });
    peer.socket.close(1012);
    expect(await errors.next()).toMatchObject({ code: "token_failed", cause: { message: "no" } });
    await server.sockets.next();
    await client.close();
  });

  test("a token is replaced with IDENTIFY before it expires", async () => {
    const now = Math.floor(Date.now() / 1000);
    const jwt = (exp: number) => `e30.${Buffer.from(JSON.stringify({ exp, sub: "ann>?" })).toString("base64url")}.x`;
    const tokens = [jwt(now + 3), jwt(now + 3600)];
    const reasons: string[] = [];
    const getToken = ({ reason }: { reason: string }) => tokens[reasons.push(reason) - 1] ?? "";
    const { dispatch, peer } = await koji({ getToken });
    const identity = (token: string | undefined) => ({ eventName: DISPATCH_EVENT.IDENTIFY, payload: { token } });
    expect(peer.url).not.toContain("e30");
    expect(await peer.next()).toEqual(identity(tokens[0]));
    expect(await peer.next()).toEqual(identity(tokens[1]));
    expect(reasons).toEqual(["connect", "expiring"]);
    await dispatch.disconnect();
  });
});

describe("a dispatch", () => {
  test("sends its identity first after every CONNECTED, and queued events last", async () => {
    const dispatch = new Dispatch({ projectId: "p q", host: server.url, options: { ...fast, shardName: "s/1" } });
    dispatch.emitEvent("early", { n: 1 });
    dispatch.setUserInfo({ name: "Ann" });
    dispatch.identify("token");
    dispatch.on(DISPATCH_EVENT.CONNECTED, () => dispatch.emitEvent("hello"));
    void dispatch.connect({ maxConnectionsPerShard: "25" });
    const peer = await server.sockets.next();
    expect(peer.url).toBe("/koji?connectedClients=changes&identify=answered&sb=1&projectId=p%20q&shardName=s%2F1&maxConnectionsPerShard=25");
    peer.sendConnected();
    const namesFrom = async (from: typeof peer, count: number) => {
      const names = [];
      for (let i = 0; i < count; i++) names.push((await from.next())["eventName"]);
      return names;
    };
    const { IDENTIFY, SET_USER_INFO } = DISPATCH_EVENT;
    expect(await namesFrom(peer, 4)).toEqual([IDENTIFY, SET_USER_INFO, "hello", "early"]);
    peer.socket.terminate();
    const next = await server.sockets.next();
    next.sendConnected("other");
    expect(await namesFrom(next, 3)).toEqual([IDENTIFY, SET_USER_INFO, "hello"]);
    expect(dispatch.connectionInfo).toEqual({ clientId: "other", shardName: "shard-1" });
    await dispatch.disconnect();
  });

  test("applies changes to its member list, and requests the full list after a gap", async () => {
    const { dispatch, peer } = await koji();
    const lists = new ReceiveQueue<string>();
    dispatch.onConnectedClientsChanged((clients) => lists.put(clients.map(({ clientId }) => clientId).join()));
    const entry = { userInfo: {}, lastPing: 1 };
    const list = (ids: string[], version?: number) => ({
      eventName: DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED,
      payload: { connectedClients: Object.fromEntries(ids.map((id) => [id, entry])), version },
    });
    const change = (version: number, joined: string[], left: string[]) => ({
      eventName: "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES",
      payload: { version, joined: Object.fromEntries(joined.map((id) => [id, entry])), updated: {}, left },
    });
    peer.send(list(["a"], 4));
    peer.send(change(5, ["b"], []));
    peer.send(change(6, ["c"], ["a"]));
    expect([await lists.next(), await lists.next(), await lists.next()]).toEqual(["a", "a,b", "b,c"]);
    // Version 7 is missing. Changes are ignored until the full list arrives, which is requested once.
    peer.send(change(8, ["e"], []));
    peer.send(change(9, ["f"], []));
    expect(await peer.next()).toEqual({ eventName: "@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS" });
    peer.send(list(["b", "c", "d", "e", "f"], 9));
    peer.send(list(["b", "c", "d", "e", "f"], 9));
    peer.send(change(10, [], ["f"]));
    expect([await lists.next(), await lists.next()]).toEqual(["b,c,d,e,f", "b,c,d,e"]);
    expect(peer.frames.pending).toEqual([]);
    // A server that does not support changes sends full lists.
    peer.send(list(["x"]));
    peer.send(list(["x", "y"]));
    expect([await lists.next(), await lists.next()]).toEqual(["x", "x,y"]);
    await dispatch.disconnect();
    expect(await lists.next()).toBe("");
  });

  test("rejects info with connect_failed if the server does not answer it", async () => {
    const dispatch = new Dispatch({ projectId: "p", host: `http://127.0.0.1:${await freePort()}` });
    expect(await rejectionCode(dispatch.info())).toBe("connect_failed");
    // The fake server answers HTTP with 426.
    dispatch.setHost(server.url);
    expect(await rejectionCode(dispatch.info())).toBe("connect_failed");
    expect(await rejectionCode(dispatch.info({ signal: AbortSignal.abort() }))).toBe("aborted");
  });
});
