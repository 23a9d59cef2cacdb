/**
 * A listener that is added after the state it describes has arrived is called with that state, once.
 */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Dispatch, DISPATCH_EVENT, type ConnectedClient } from "../../src/dispatch/index.js";
import { FakeServer, type FakePeer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer } from "../support/server.js";

const entry = { userInfo: {}, lastPing: 1 };
const list = (version: number, ...ids: string[]) => ({
  eventName: DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED,
  payload: { version, connectedClients: Object.fromEntries(ids.map((id) => [id, entry])) },
});
const idsOf = (clients: readonly ConnectedClient[]) => clients.map(({ clientId }) => clientId).join();

describe("the member list", () => {
  let server: FakeServer;
  let dispatch: Dispatch;
  let calls: string[];
  const record = (name: string) => (clients: readonly ConnectedClient[]) => void calls.push(`${name}:${idsOf(clients)}`);

  beforeEach(async () => {
    server = await FakeServer.start();
    dispatch = new Dispatch({ projectId: "p", host: server.url, options: { WebSocket, reconnectDelay: 5 } });
    calls = [];
  });
  afterEach(async () => {
    await dispatch.disconnect();
    await server.stop();
  });

  /** Connects; the first list arrives in the same read as CONNECTED. */
  async function connect(): Promise<FakePeer> {
    const connected = dispatch.connect();
    const peer = await server.sockets.next();
    peer.sendTogether(() => {
      peer.sendConnected("me");
      peer.send(list(1, "me", "ann"));
    });
    await connected;
    await expect.poll(() => dispatch.connectedClients.length).toBe(2);
    return peer;
  }

  /** Waits until the client has handled all frames sent so far. */
  async function handled(peer: FakePeer): Promise<void> {
    await new Promise<void>((resolve) => {
      dispatch.on("handled", () => resolve());
      peer.send({ eventName: "handled", payload: {}, latencyMs: 0 });
    });
  }

  test("is passed to listeners of both forms that are added after `connect`, once, and not synchronously", async () => {
    const peer = await connect();
    dispatch.onConnectedClientsChanged(record("array"));
    dispatch.on(DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED, ({ connectedClients }) => {
      calls.push(`object:${Object.keys(connectedClients).join()}`);
    });
    expect(calls).toEqual([]);
    await handled(peer);
    expect(calls).toEqual(["array:me,ann", "object:me,ann"]);
    peer.send(list(2, "me"));
    await handled(peer);
    expect(calls.slice(2)).toEqual(["array:me", "object:me"]);
  });

  test("is passed once to a listener that is added before", async () => {
    dispatch.onConnectedClientsChanged(record("early"));
    const peer = await connect();
    await handled(peer);
    expect(calls).toEqual(["early:me,ann"]);
  });

  test("is not passed to a listener that is removed at once", async () => {
    const peer = await connect();
    dispatch.onConnectedClientsChanged(record("removed"))();
    await handled(peer);
    expect(calls).toEqual([]);
  });

  test("is passed once if a newer one arrives first", async () => {
    const peer = await connect();
    dispatch.on("add", () => void dispatch.onConnectedClientsChanged(record("late")));
    peer.sendTogether(() => {
      peer.send({ eventName: "add", payload: {}, latencyMs: 0 });
      peer.send(list(2, "me"));
    });
    await handled(peer);
    expect(calls.at(-1)).toBe("late:me");
    expect(new Set(calls).size).toBe(calls.length);
  });

  test("reports a late listener that throws, and calls the others", async () => {
    const peer = await connect();
    const errors = new ReceiveQueue<unknown>();
    dispatch.on(DISPATCH_EVENT.ERROR, errors.put);
    dispatch.onConnectedClientsChanged(() => {
      throw new Error("late");
    });
    dispatch.onConnectedClientsChanged(record("other"));
    expect(await errors.next()).toMatchObject({ code: "listener_failed", cause: { message: "late" } });
    await handled(peer);
    expect(calls).toEqual(["other:me,ann"]);
  });

  test("is the last one while the client reconnects, and none after it is closed", async () => {
    const peer = await connect();
    const states = new ReceiveQueue<unknown>();
    dispatch.on(DISPATCH_EVENT.STATE, ({ state }) => states.put(state));
    peer.socket.terminate();
    expect(await states.next()).toBe("reconnecting");
    dispatch.onConnectedClientsChanged(record("reconnecting"));
    await expect.poll(() => calls).toEqual(["reconnecting:me,ann"]);
    await dispatch.disconnect();
    expect(calls).toEqual(["reconnecting:me,ann", "reconnecting:"]);
    dispatch.onConnectedClientsChanged(record("closed"));
    await Promise.resolve();
    expect(calls).toHaveLength(2);
  });
});

test("the first list of the real server is never missed by a listener that is added after `connect`", async () => {
  const server = await startServer();
  for (let run = 0; run < 30; run++) {
    const dispatch = new Dispatch({ projectId: `run ${run}`, host: server.url, options: { WebSocket } });
    const { clientId } = await dispatch.connect();
    const lists = new ReceiveQueue<readonly ConnectedClient[]>();
    dispatch.onConnectedClientsChanged(lists.put);
    expect(idsOf(await lists.next())).toBe(clientId);
    await dispatch.disconnect();
  }
  await server.stop();
});
