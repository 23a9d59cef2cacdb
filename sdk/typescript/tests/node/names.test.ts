/**
 * Names that JavaScript objects inherit, such as `constructor`, are ordinary names: of events, rooms, users, request ids,
 * query parameters and members of data. Other clients choose them, so no table of this package inherits any.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch, type ConnectedClient } from "../../src/dispatch/index.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer, type Server } from "../support/server.js";

const NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "__defineGetter__", "prototype", "then"];

/** An object with these names as members, as JSON.parse makes it. */
const members = () => JSON.parse(`{${NAMES.map((name) => `"${name}":{"polluted":true}`).join()}}`) as Record<string, unknown>;

/** The error for a request that no handler of the server takes. */
const noHandler = (event: string) =>
  expect.objectContaining({ name: "RefusedError", code: "no_handler", message: `No handler for: ${event}` }) as Error;

let server: Server;
const opened: (EmitClient<never> | Dispatch)[] = [];

beforeAll(async () => {
  server = await startServer();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((client) => client.connection.close()));
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});
afterAll(() => server.stop());

async function emitClient(options: object = {}): Promise<EmitClient> {
  const client = await EmitClient.connect(server.url, { WebSocket, ...options });
  opened.push(client as EmitClient<never>);
  return client;
}

describe.each(NAMES)("%s", (name) => {
  test("is the name of a room, a user, an event and a query parameter", async () => {
    const client = await emitClient({ tokenParameter: name, getToken: () => name });
    const received = new ReceiveQueue<unknown>();
    const { id, query } = await client.request<{ id: string; query: object }>("/whoami");
    expect(Object.entries(query)).toContainEqual([name, name]);
    expect(await client.request("/join", { room: name, username: name })).toEqual({ joined: name });
    client.on("message", received.put);
    client.emit("/message", { room: name, text: name });
    expect(await received.next()).toEqual({ username: name, text: name });
    await client.request("/login", { userId: name });
    expect(await client.request("/profile")).toEqual({ user: name });
    // No listener, and none that is inherited.
    await client.request("/to", { id, event: name, data: 1 });
    client.on(name, received.put);
    await client.request("/to", { id, event: name, data: 2 });
    expect(await received.next()).toBe(2);
    client.off(name, received.put);
    await client.request("/to", { id, event: name, data: 3 });
    expect(received.pending).toEqual([]);
    await expect(client.request(name)).rejects.toEqual(noHandler(name));
    await expect(client.ns(name).request(name)).rejects.toEqual(noHandler(name + name));
    client.set(name, 4);
    expect(client.get(name)).toBe(4);
  });

  test("needs no schema if only others have one", async () => {
    const schemas = { emits: {}, events: {}, requests: {}, serverRequests: {} };
    const client = await emitClient({ schemas });
    const received = new ReceiveQueue<unknown>();
    const { id } = await client.request<{ id: string }>("/whoami");
    client.on(name, received.put);
    client.on("@error", received.put);
    await client.request("/to", { id, event: name, data: 1 });
    expect(await received.next()).toBe(1);
    client.emit(name, {});
    await expect(client.request(name)).rejects.toEqual(noHandler(name));
  });

  test("is the name of a shard, an event and a member of the user info", async () => {
    const dispatch = new Dispatch({ projectId: name, host: server.url, options: { WebSocket, shardName: name } });
    opened.push(dispatch);
    const received = new ReceiveQueue<unknown>();
    const lists = new ReceiveQueue<readonly ConnectedClient[]>();
    dispatch.onConnectedClientsChanged(lists.put);
    const { clientId, shardName } = await dispatch.connect();
    expect(shardName).toBe(name);
    dispatch.on(name, (payload, metadata) => received.put([payload, metadata.clientId]));
    dispatch.emitEvent(name, members());
    const [payload, sender] = (await received.next()) as [object, string];
    expect([Object.keys(payload), sender]).toEqual([expect.arrayContaining(NAMES), clientId]);
    expect(await dispatch.info()).toEqual([{ shardName: name, numConnectedClients: 1 }]);
    dispatch.setUserInfo(members());
    const [me] = await lists.nextWhere(([me]) => Object.keys(me?.userInfo ?? {}).length > 0);
    expect(Object.keys(me?.userInfo ?? {})).toEqual(NAMES);
  });
});

describe("a server that uses them", () => {
  test("as ids of requests and replies is answered with them, and settles no request", async () => {
    const fake = await FakeServer.start();
    const client = await EmitClient.connect(fake.url, { WebSocket });
    const peer = await fake.sockets.next();
    const pending = client.request("/x", {}, { timeout: 60_000 });
    const { ackId } = await peer.next();
    client.handle("/q", (data) => data);
    for (const name of NAMES) peer.send({ type: "ack", ackId: name, data: "wrong" });
    for (const name of NAMES) {
      peer.send({ event: "/q", ackId: name, data: name });
      expect(await peer.next()).toEqual({ type: "ack", ackId: name, data: name });
      // No handler has this name.
      peer.send({ event: name, ackId: name });
    }
    peer.send({ type: "ack", ackId, data: "right" });
    expect(await pending).toBe("right");
    expect(peer.frames.pending).toEqual([]);
    await client.close();
    await fake.stop();
  });

  test("as client ids and members of frames has them in its list only", async () => {
    const fake = await FakeServer.start();
    const dispatch = new Dispatch({ host: fake.url, options: { WebSocket } });
    const lists = new ReceiveQueue<string[]>();
    dispatch.onConnectedClientsChanged((clients) => lists.put(clients.map(({ clientId }) => clientId)));
    const connected = dispatch.connect();
    const peer = await fake.sockets.next();
    peer.sendConnected();
    await connected;
    const entries = (names: string[]) => JSON.parse(`{${names.map((name) => `"${name}":{"userInfo":{},"lastPing":1}`).join()}}`) as object;
    const P = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGE";
    peer.send({ eventName: `${P}D`, payload: { version: 1, connectedClients: entries(NAMES) } });
    expect(await lists.next()).toEqual(NAMES);
    peer.send({ eventName: `${P}S`, payload: { version: 2, joined: {}, updated: {}, left: NAMES.slice(1) } });
    expect(await lists.next()).toEqual(["__proto__"]);
    peer.send({ eventName: `${P}S`, payload: { version: 3, joined: entries(["toString"]), updated: {}, left: ["__proto__"] } });
    expect(await lists.next()).toEqual(["toString"]);
    await dispatch.disconnect();
    await fake.stop();
  });
});
