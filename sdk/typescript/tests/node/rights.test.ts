/**
 * Tokens and rights, against the real server: renewed on the open connection, and needed in the address of a shard.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch } from "../../src/dispatch/index.js";
import { signToken } from "../../src/server/index.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort, startServer, type Server } from "../support/server.js";
import { TcpProxy } from "../support/tcpProxy.js";

const SECRET = "a secret of the tests, of 32 bytes at least";

let server: Server;
let keyless: Server;
let metricsPort: number;
const open: (() => Promise<void>)[] = [];

beforeAll(async () => {
  metricsPort = await freePort();
  const settings = ["access=tokens", `auth.jwt_secret=${SECRET}`, `internal.listen=127.0.0.1:${metricsPort}`];
  server = await startServer({ command: "serve", settings });
  keyless = await startServer({ command: "serve" });
});
afterAll(() => Promise.all([server.stop(), keyless.stop()]));
afterEach(() => Promise.all(open.splice(0).map((close) => close())));

const token = (can: object, expiresIn: number) => signToken({ id: "ann", can }, SECRET, { expiresIn });

test("an emit client replaces its token on the open connection, and has the rights of the next one", async () => {
  const reasons = new ReceiveQueue<string>();
  const getToken = ({ reason }: { reason: string }) => {
    reasons.put(reason);
    return reason === "connect" ? token({ "#a": "j" }, 3) : token({ "#b": "j" }, 600);
  };
  const client = await EmitClient.connect(server.url, { WebSocket, getToken });
  open.push(() => client.close());
  expect(await client.request("/join", { room: "a" })).toEqual({ joined: "a" });
  await expect(client.request("/join", { room: "b" })).rejects.toMatchObject({ serverCode: "forbidden" });
  expect([await reasons.next(), await reasons.next()]).toEqual(["connect", "expiring"]);
  // The request comes after the token, and waits for it.
  await expect.poll(() => client.request("/join", { room: "b" }).catch((error: unknown) => error)).toEqual({ joined: "b" });
  await expect(client.request("/join", { room: "a" })).rejects.toMatchObject({ serverCode: "forbidden" });
});

test("a refused token is reported, and the connection stays", async () => {
  const getToken = ({ reason }: { reason: string }) => (reason === "connect" ? token({}, 2) : `${token({}, 600)}x`);
  const client = await EmitClient.connect(server.url, { WebSocket, getToken });
  open.push(() => client.close());
  const errors = new ReceiveQueue<unknown>();
  client.on("@error", errors.put);
  expect(await errors.next()).toMatchObject({ code: "authentication_failed", reason: "signature", closeCode: 0 });
  expect(client.connected).toBe(true);
});

describe.each([
  ["a server with a key", () => server, "malformed"],
  ["a server without a key", () => keyless, "no_verifier"],
])("a refused token of the handshake, at %s", (_, at, reason) => {
  const message = `the server refused the token: ${reason}`;

  test.each([{ reconnect: true }, { reconnect: true, resume: false }, { reconnect: false }])("is an error with %j", async (options) => {
    const errors = new ReceiveQueue<unknown>();
    const client = new EmitClient(at().url, { WebSocket, getToken: () => "abc", ...options });
    open.push(() => client.close());
    client.on("@error", errors.put);
    await client.open();
    expect(await errors.next()).toMatchObject({ code: "authentication_failed", name: "AuthenticationFailedError", reason, message });
  });

  test("is on the console if nothing listens to errors", async () => {
    const logged = new ReceiveQueue<unknown>();
    const error = vi.spyOn(console, "error").mockImplementation(logged.put);
    const client = await EmitClient.connect(at().url, { WebSocket, getToken: () => "abc" });
    open.push(() => client.close());
    expect(await logged.next()).toMatchObject({ message });
    error.mockRestore();
  });
});

test("a session is not kept for a client that does not reconnect", async () => {
  const network = await TcpProxy.to(server.port);
  open.push(() => network.close());
  const shown = token({ "#left": "j" }, 600);
  const client = await EmitClient.connect(`ws://127.0.0.1:${network.port}`, { WebSocket, getToken: () => shown });
  await client.request("/join", { room: "left" });
  network.cut();
  const metrics = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  await expect.poll(metrics).toMatch(/^switchboard_connections\{protocol="emit"\} 0$/m);
  expect(await metrics()).toMatch(/^switchboard_detached_sessions 0$/m);
});

test("a shard that only the token allows needs the token in the address", async () => {
  const shard = (tokenInAddress: boolean) => {
    const options = { WebSocket, tokenInAddress, authorization: token({ "shard:duel-*": "js" }, 600), shardName: "duel-1" };
    const client = new Dispatch({ projectId: "game", host: server.url, options: { ...options, reconnect: false } });
    open.push(() => client.disconnect());
    return client;
  };
  await expect(shard(false).connect()).rejects.toMatchObject({ closeCode: 1008 });
  const client = shard(true);
  await client.connect();
  expect(client.connectionInfo).toMatchObject({ shardName: "duel-1" });
});
