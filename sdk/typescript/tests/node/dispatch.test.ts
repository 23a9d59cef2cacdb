/**
 * Dispatch against the real server: both forms of Koji's API, with the names that pages of the original use.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import DefaultDispatch, {
  Dispatch,
  dispatch as shared,
  DISPATCH_EVENT,
  type ConnectedClient,
  type DispatchOptions,
} from "../../src/dispatch/index.js";
import { rejectionCode, thrownCode } from "../support/errorCode.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort, startServer, TRANSCRIPTS, type Server } from "../support/server.js";

/** HS256 with the secret of the transcripts' settings; `{"sub":"anna-8"}`, without expiry. */
const ANNA =
  "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hLTgifQ.xIryEdryBxT4EQDHcVUwEp-afR1nzWqOCre0J8FfPTo";

const fast = { WebSocket, reconnectDelay: 20, maxReconnectDelay: 200 };

let server: Server;
const all: Dispatch[] = [];

beforeAll(async () => {
  server = await startServer({ command: "serve", config: `${TRANSCRIPTS}/koji/settings.toml` });
});
afterAll(() => server.stop());
afterEach(() => Promise.all(all.splice(0).map((each) => each.disconnect())));

function create(projectId: string, options: DispatchOptions = {}, host = server.url): Dispatch {
  const dispatch = new Dispatch({ projectId, host, options: { ...fast, ...options } });
  all.push(dispatch);
  return dispatch;
}

describe("new Dispatch", () => {
  test("connects, sends to all members with metadata, and to given recipients only", async () => {
    const [ann, ben] = [create("relay"), create("relay")];
    const connected = new ReceiveQueue<unknown>();
    ann.on(DISPATCH_EVENT.CONNECTED, connected.put);
    const me = await ann.connect();
    expect(me).toEqual({ clientId: expect.any(String), shardName: "shard-1" });
    expect(await connected.next()).toEqual(me);
    const { clientId: benId } = await ben.connect();

    const received = new ReceiveQueue<unknown>();
    for (const [name, dispatch] of [["ann", ann], ["ben", ben]] as const) {
      dispatch.on("chat_message_sent", (payload, metadata) => received.put([name, payload, metadata]));
    }
    ann.emitEvent("chat_message_sent", { author: "Ann", body: "hi" });
    for (const _ of [ann, ben]) {
      expect(await received.next()).toEqual([
        expect.any(String),
        expect.objectContaining({ author: "Ann", body: "hi", __clientId: me.clientId }),
        { latencyMs: expect.any(Number), clientId: me.clientId, timestamp: expect.any(Number) },
      ]);
    }
    ann.emitEvent("chat_message_sent", { n: 1 }, [benId]);
    ann.emitEvent("chat_message_sent", { n: 2 }, benId);
    ann.emitEvent("chat_message_sent", { n: 3 });
    const order: unknown[] = [];
    for (let i = 0; i < 4; i++) order.push(await received.next());
    const numbersOf = (receiver: string) =>
      (order as [string, { n: number }][]).filter(([name]) => name === receiver).map(([, payload]) => payload.n);
    expect([numbersOf("ben"), numbersOf("ann")]).toEqual([[1, 2, 3], [3]]);
  });

  test("delivers the member list in both formats, with user info", async () => {
    const [ann, ben] = [create("list"), create("list")];
    const lists = new ReceiveQueue<readonly ConnectedClient[]>();
    const objects = new ReceiveQueue<object>();
    ann.onConnectedClientsChanged(lists.put);
    ann.on(DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED, ({ connectedClients }) => objects.put(connectedClients));
    const { clientId } = await ann.connect();
    expect(await lists.next()).toEqual([{ clientId, userInfo: {}, lastPing: expect.any(Number) }]);
    expect(await objects.next()).toEqual({ [clientId]: { userInfo: {}, lastPing: expect.any(Number) } });
    ben.setUserInfo({ name: "Ben" });
    const { clientId: benId } = await ben.connect();
    const named = await lists.nextWhere((list) => list.some(({ userInfo }) => userInfo["name"] === "Ben"));
    expect(named.map((each) => each.clientId)).toEqual([clientId, benId]);
    expect(ann.connectedClients).toBe(named);
    await ben.disconnect();
    expect((await lists.nextWhere((list) => list.length === 1))[0]?.clientId).toBe(clientId);
  });

  test("reaches an identified user on another shard, by id", async () => {
    const anna = create("identify", { shardName: "a", authorization: ANNA });
    const ben = create("identify", { shardName: "b" });
    const received = new ReceiveQueue<unknown>();
    anna.on("dm", received.put);
    await anna.connect();
    // Her own message follows her token, so its arrival shows that the server has authenticated her.
    anna.emitEvent("dm", [0], "anna-8");
    expect(await received.next()).toEqual([0]);
    await ben.connect();
    ben.emitEvent("dm", [1], ["anna-8"]);
    expect(await received.next()).toEqual([1]);
    const late = create("identify");
    late.on("dm", received.put);
    await late.connect();
    late.identify(ANNA);
    late.emitEvent("dm", [2], "anna-8");
    expect([await received.next(), await received.next()]).toEqual([[2], [2]]);
  });

  test("reports the user of an accepted token, and a refused one as an error", async () => {
    const dispatch = create("tokens", { authorization: ANNA });
    const [identities, errors] = [new ReceiveQueue<unknown>(), new ReceiveQueue<unknown>()];
    dispatch.on(DISPATCH_EVENT.IDENTIFIED, identities.put);
    dispatch.on(DISPATCH_EVENT.ERROR, errors.put);
    await dispatch.connect();
    expect(await identities.next()).toEqual({ user: "anna-8" });
    dispatch.identify("no token");
    expect(await errors.next()).toMatchObject({
      name: "AuthenticationFailedError", code: "authentication_failed", reason: "malformed", closeCode: 0,
      message: "the server refused the token: malformed",
    });
    expect(dispatch.state).toBe("connected");
    dispatch.identify(ANNA);
    expect(await identities.next()).toEqual({ user: "anna-8" });
  });

  test("shows a refused token on the console if nothing listens to errors", async () => {
    const logged = new ReceiveQueue<unknown>();
    const error = vi.spyOn(console, "error").mockImplementation(logged.put);
    await create("tokens", { authorization: "no token" }).connect();
    expect(await logged.next()).toMatchObject({ code: "authentication_failed" });
    error.mockRestore();
  });

  test("lists all shards of the project", async () => {
    const seats = { maxConnectionsPerShard: 2 };
    const three = [create("info", seats), create("info", seats), create("info", seats)];
    for (const each of three) await each.connect();
    expect(await three[0]?.info()).toEqual([
      { shardName: "shard-1", numConnectedClients: 2 },
      { shardName: "shard-2", numConnectedClients: 1 },
    ]);
    expect(await create("info nobody is in").info()).toEqual([]);
  });

  test("rejects messages that the server would silently ignore", async () => {
    const dispatch = create("limits");
    await dispatch.connect();
    expect(() => dispatch.emitEvent("x", "x".repeat(128_000)))
      .toThrow("the message has 128,030 UTF-16 units; the limit is 128,000");
    expect(thrownCode(() => dispatch.emitEvent("x", "x".repeat(128_000)))).toBe("too_large");
    expect(thrownCode(() => dispatch.setUserInfo({ x: "é".repeat(8_192) }))).toBe("too_large");
    expect(thrownCode(() => dispatch.setUserInfo([] as unknown as object))).toBe("bad_data");
    expect(thrownCode(() => dispatch.emitEvent("x", { f: () => 1 }))).toBe("bad_data");
    expect(thrownCode(() => dispatch.emitEvent(DISPATCH_EVENT.CONNECTED))).toBe("bad_data");
    const received = new ReceiveQueue<string>();
    dispatch.on<string>("x", received.put);
    const longest = "x".repeat(128_000 - `{"eventName":"x","payload":""}`.length);
    dispatch.emitEvent("x", longest);
    expect(await received.next()).toBe(longest);
  });

  test("rejects if it cannot connect, and can connect later", async () => {
    const dispatch = create("reject", {}, `127.0.0.1:${await freePort()}`);
    expect(await rejectionCode(dispatch.connect())).toBe("connect_failed");
    dispatch.setHost(server.url);
    expect(await dispatch.connect()).toMatchObject({ shardName: "shard-1" });
    const full = [create("full"), create("full")];
    await full[0]?.connect();
    await expect(full[1]?.connect()).rejects.toMatchObject({ code: "connect_failed", closeCode: 1013 });
    expect(await rejectionCode(new Dispatch({ projectId: "p", options: { WebSocket } }).connect())).toBe("bad_option");
  });

  test("gets a new id after a restart, sends its user info again, and then queued events", async () => {
    const port = await freePort();
    const config = `${TRANSCRIPTS}/koji/settings.toml`;
    let own = await startServer({ port, command: "serve", config });
    const dispatch = create("restart", {}, own.url);
    dispatch.setUserInfo({ name: "Ann" });
    const first = await dispatch.connect();
    const gone = new ReceiveQueue<unknown>();
    dispatch.on(DISPATCH_EVENT.DISCONNECTED, gone.put);
    await own.kill();
    expect(await gone.next()).toMatchObject({ state: "reconnecting", code: 1006 });
    const received = new ReceiveQueue<unknown>();
    dispatch.on("x", ({ n }) => received.put(n));
    dispatch.emitEvent("x", { n: 1 });
    own = await startServer({ port, command: "serve", config });
    expect(await received.next()).toBe(1);
    expect(dispatch.connectionInfo?.clientId).not.toBe(first.clientId);
    const lists = new ReceiveQueue<readonly ConnectedClient[]>();
    dispatch.onConnectedClientsChanged(lists.put);
    if (dispatch.connectedClients[0]?.userInfo["name"] !== "Ann") {
      await lists.nextWhere(([one]) => one?.userInfo["name"] === "Ann");
    }
    await dispatch.disconnect();
    await own.stop();
  });
});

describe("the shared instance", () => {
  test("has every method that pages of Koji call", async () => {
    const Koji = { dispatch: shared };
    all.push(shared);
    Koji.dispatch.setHost(server.url);
    Koji.dispatch.setProjectId("object");
    const myInfo = await Koji.dispatch.connect({ ...fast, maxConnectionsPerShard: "25", authorization: ANNA });
    expect(myInfo).toMatchObject({ shardName: "shard-1" });
    Koji.dispatch.identify(ANNA);
    const clients = new ReceiveQueue<readonly ConnectedClient[]>();
    const unsubscribeClients = Koji.dispatch.onConnectedClientsChanged(clients.put);
    Koji.dispatch.setUserInfo({ avatar: "a.png" });
    await clients.nextWhere(([me]) => me?.userInfo["avatar"] === "a.png");
    unsubscribeClients();
    const received = new ReceiveQueue<unknown>();
    const unsubscribeEvent = Koji.dispatch.on("myEvent", received.put);
    Koji.dispatch.emitEvent("myEvent", { x: 1 });
    expect(await received.next()).toMatchObject({ x: 1 });
    unsubscribeEvent();
    expect(await Koji.dispatch.info()).toEqual([{ shardName: "shard-1", numConnectedClients: 1 }]);
    await Koji.dispatch.disconnect();
    expect(Koji.dispatch.state).toBe("closed");
    expect(thrownCode(() => Koji.dispatch.emitEvent("x"))).toBe("not_connected");
    expect(DefaultDispatch).toBe(Dispatch);
  });
});
