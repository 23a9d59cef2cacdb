/**
 * A client that is pointed at the wrong place says so at once: nothing listens, something else listens, or the path
 * belongs to another protocol.
 */

import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import { EmitClient, type StateChange } from "../../src/client/index.js";
import { Dispatch } from "../../src/dispatch/index.js";
import { Client } from "../../src/mesa/index.js";
import { FakeServer } from "../support/fakeServer.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort, startServer, type Server } from "../support/server.js";

let server: Server;
/** Every path of this address is of the Mesa protocol. */
let mesaOnly: string;
const opened: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  const mesaPort = await freePort();
  mesaOnly = `ws://127.0.0.1:${mesaPort}`;
  server = await startServer({ settings: ["mesa.enabled=true", `mesa.listen=127.0.0.1:${mesaPort}`, "clients.allowed_origins=[\"https://allowed.example\"]"] });
});
afterEach(() => Promise.all(opened.splice(0).map((connection) => connection.close())));
afterAll(() => server.stop());

/** Connects a client of each protocol; the error names the address, which may have a path of the protocol. */
const koji = (host: string) => new Dispatch({ host, WebSocket }).connect();
const mesa = (url: string) => new Client(url, { WebSocket, autoConnect: false }).connect();
const emit = (url: string) => EmitClient.connect(url, { WebSocket });

const failure = (message: string, more: object = {}) => ({ name: "ConnectFailedError", code: "connect_failed", message, ...more });

describe("a path of another protocol", () => {
  test("makes a Koji client reject", async () => {
    const message = `cannot connect to ${server.url}/base/koji: it speaks emit, and this client Koji; check the path`;
    await expect(koji(`${server.url}/base`)).rejects.toMatchObject(failure(message));
  });

  test("makes a Mesa client reject, also with `retry`, because another attempt would end in the same way", async () => {
    const at = (path: string, other: string) =>
      failure(`cannot connect to ${server.url}${path}: it speaks ${other}, and this client Mesa; check the path`);
    await expect(mesa(`${server.url}/messages`)).rejects.toMatchObject(at("/messages", "emit"));
    await expect(mesa(`${server.url}/koji`)).rejects.toMatchObject(at("/koji", "Koji"));
    const patient = new Client(`${server.url}/messages`, { WebSocket, autoConnect: false, reconnect: true });
    await expect(patient.connect({ retry: true })).rejects.toMatchObject(at("/messages", "emit"));
    expect(patient.state).toBe("closed");
  });

  test.each([["/koji", "Koji"], ["/mesa", "Mesa"]])("closes an emit client at %s and rejects its requests", async (path, other) => {
    const client = new EmitClient(server.url + path, { WebSocket, reconnect: true });
    opened.push(client);
    const [errors, closes] = [new ReceiveQueue<unknown>(), new ReceiveQueue<StateChange>()];
    client.on("@error", errors.put).on("@disconnect", closes.put);
    await client.open();
    const message = `cannot connect to ${server.url}${path}: it speaks ${other}, and this client emit; check the path`;
    expect(await closes.next()).toMatchObject({ state: "closed", willReconnect: false });
    expect(await errors.next()).toMatchObject(failure(message));
    await expect(client.request("/ping")).rejects.toMatchObject({ code: "not_connected", message: `not connected: ${message}` });
  });

  test("is on the console for an emit client without a listener of errors", async () => {
    const logged = new ReceiveQueue<unknown>();
    const error = vi.spyOn(console, "error").mockImplementation(logged.put);
    const client = new EmitClient(`${server.url}/koji`, { WebSocket });
    opened.push(client);
    // The connection may end before or after the call of `open` does; one of the two reports it.
    const rejected = client.open().catch(logged.put);
    expect(await logged.next()).toMatchObject({ code: "connect_failed", message: expect.stringContaining("it speaks Koji") as string });
    await rejected;
    error.mockRestore();
  });

  test("makes a Koji client reject at the port of the Mesa protocol", async () => {
    const message = `cannot connect to ${mesaOnly}/koji: it speaks Mesa, and this client Koji; check the path`;
    await expect(koji(mesaOnly)).rejects.toMatchObject(failure(message));
  });
});

describe("an address without a WebSocket", () => {
  let http: HttpServer;
  beforeAll(async () => {
    http = createServer((_, response) => response.writeHead(404).end("nothing here"));
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
  });
  afterAll(() => void http.close());

  test("is named with the status of an HTTP server", async () => {
    const at = `ws://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const why = "the server answered with status 404";
    await expect(emit(`${at}/chat?token=s3cr3t`)).rejects.toMatchObject(failure(`cannot connect to ${at}/chat: ${why}`));
    await expect(koji(at)).rejects.toMatchObject(failure(`cannot connect to ${at}/koji: ${why}`));
    await expect(mesa(`${at}/mesa`)).rejects.toMatchObject(failure(`cannot connect to ${at}/mesa: ${why}`));
  });

  test("is named with the reason of the system, which is also the cause", async () => {
    const at = `ws://127.0.0.1:${await freePort()}`;
    const message = expect.stringMatching(new RegExp(`^cannot connect to ${at}(/koji)?: connect ECONNREFUSED`)) as string;
    const cause = { code: "ECONNREFUSED" };
    await expect(emit(at)).rejects.toMatchObject({ code: "connect_failed", message, cause });
    await expect(koji(at)).rejects.toMatchObject({ code: "connect_failed", message, cause });
  });

  test("is named with both possible reasons if the runtime reports none, as browsers do", async () => {
    class Mute {
      readyState = 0;
      onopen = null;
      onmessage = null;
      onclose: ((event: never) => void) | null = null;
      onerror = null;
      constructor() {
        queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" } as never));
      }
      send(): void {}
      close(): void {}
    }
    const message = "cannot connect to ws://localhost:3999/koji: connection refused, or no WebSocket server there";
    await expect(new Dispatch({ host: "localhost:3999", WebSocket: Mute }).connect()).rejects.toMatchObject(failure(message));
  });

  test("is named with the reason of a Switchboard server", async () => {
    const long = new Dispatch({ host: server.url, projectId: "x".repeat(257), WebSocket });
    await expect(long.connect()).rejects.toMatchObject(
      failure(`cannot connect to ${server.url}/koji: the server answered with status 400`),
    );
    class Foreign extends WebSocket {
      constructor(url: string) {
        super(url, { origin: "https://other.example" });
      }
    }
    await expect(EmitClient.connect(server.url, { WebSocket: Foreign })).rejects.toMatchObject(
      failure(`cannot connect to ${server.url}: the server answered with status 403`),
    );
  });
});

test("a server that accepts the connection and sends nothing is named with what it should have sent", async () => {
  const silent = await FakeServer.start();
  const options = { WebSocket, connectTimeout: 1200 };
  const message = `no CONNECTED from ${silent.url}/koji, which may be no Koji endpoint, within 1200 ms`;
  await expect(new Dispatch({ host: silent.url, ...options }).connect()).rejects.toMatchObject({ code: "timeout", message });
  // The probe is valid in both protocols.
  expect(await (await silent.sockets.next()).next()).toEqual({
    eventName: "@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS", event: "@alive", ackId: "@alive",
  });
  await silent.stop();
});
