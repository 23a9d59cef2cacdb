/**
 * A time limit or an abort ends the work that it limits: requests over HTTP, sockets, and listeners of the caller's signal.
 */

import { getEventListeners, once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage } from "node:http";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch } from "../../src/dispatch/index.js";
import { Client } from "../../src/mesa/index.js";
import { Dispatcher, Message } from "../../src/server/index.js";
import { rejectionCode } from "../support/errorCode.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort } from "../support/server.js";

describe("a request over HTTP that gets no answer", () => {
  const requests = new ReceiveQueue<IncomingMessage>();
  const server = createHttpServer((request) => requests.put(request));
  let host: string;
  beforeEach(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });

  test.each([
    ["info at its time limit", (signal: undefined) => new Dispatch({ host }).info({ timeout: 300, signal }), "timeout"],
    ["info at an abort", (signal: AbortSignal) => new Dispatch({ host }).info({ signal }), "aborted"],
    ["a dispatch at its time limit", () => new Dispatcher(host, { key: "k" }).dispatch(new Message(0, {}), ["1"], [], { timeout: 300 }), "timeout"],
    ["a dispatch at an abort", (signal: AbortSignal) => new Dispatcher(host, { key: "k" }).dispatch(new Message(0, {}), ["1"], [], { signal }), "aborted"],
  ] as const)("is closed: %s", async (_, call, code) => {
    const stop = new AbortController();
    const result = rejectionCode(call((code === "aborted" ? stop.signal : undefined) as never));
    const { socket } = await requests.next();
    const closed = once(socket, "close");
    stop.abort();
    expect(await result).toBe(code);
    await closed;
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  });
});

test("a dispatch whose attempts all fail says at its time limit why", async () => {
  const dispatcher = new Dispatcher(`http://127.0.0.1:${await freePort()}`, { key: "k", maxRetries: Infinity });
  await expect(dispatcher.dispatch(new Message(0, {}), ["1"], [], { timeout: 400 })).rejects.toMatchObject({
    code: "timeout", message: expect.stringMatching(/^no answer of the API within 400 ms: no answer from 127\.0\.0\.1:\d+; check/) as string,
    cause: { code: "connect_failed" },
  });
});

describe("a socket", () => {
  test("is dropped if the server does not answer the opening handshake in time", async () => {
    const sockets = new ReceiveQueue<Socket>();
    const server = createServer((socket) => sockets.put(socket.resume()));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const connect = rejectionCode(EmitClient.connect(url, { WebSocket, connectTimeout: 300 }));
    const closed = once(await sockets.next(), "close");
    expect(await connect).toBe("timeout");
    await closed;
    server.close();
  });

  test.each([
    ["at the time limit", { timeout: 50 }],
    ["at an abort", { signal: AbortSignal.timeout(50) }],
  ])("is dropped if the server does not answer the close frame: %s", async (_, options) => {
    const server = await FakeServer.start();
    const client = await EmitClient.connect(server.url, { WebSocket });
    const peer = await server.sockets.next();
    // It reads nothing, so it answers nothing.
    peer.socket.pause();
    await client.close(options);
    peer.socket.resume();
    // 1000 arrives first if the frame was sent.
    expect([1000, 1006]).toContain(await peer.closed);
    await server.stop();
  });

  test("gets a close frame also from a call that is aborted before it begins", async () => {
    const server = await FakeServer.start();
    const client = await EmitClient.connect(server.url, { WebSocket });
    const peer = await server.sockets.next();
    await client.close({ signal: AbortSignal.abort() });
    expect(await peer.closed).toBe(1000);
    await server.stop();
  });
});

test("the caller's signal keeps no listeners of calls that have ended", async () => {
  const server = await FakeServer.start();
  const { signal } = new AbortController();
  const client = await EmitClient.connect(server.url, { WebSocket, signal });
  const peer = await server.sockets.next();
  const replies = Array.from({ length: 20 }, (_, n) => client.request("/x", n, { signal, timeout: 60_000 }));
  for (const _ of replies) peer.send({ type: "ack", ackId: (await peer.next())["ackId"], data: 1 });
  await Promise.all(replies);
  expect(await rejectionCode(client.request("/x", 0, { signal, timeout: 1 }))).toBe("timeout");
  const mesa = new Client(server.url, { WebSocket, autoConnect: false });
  expect(await rejectionCode(mesa.connect({ signal, timeout: 30 }))).toBe("timeout");
  await client.close({ signal });
  await server.stop();
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
