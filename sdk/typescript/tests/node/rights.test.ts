/**
 * Tokens and rights, against the real server: renewed on the open connection, and needed in the address of a shard.
 */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch } from "../../src/dispatch/index.js";
import { signToken } from "../../src/server/index.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer, type Server } from "../support/server.js";

const SECRET = "a secret of the tests, of 32 bytes at least";

let server: Server;
const open: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startServer({ command: "serve", settings: ["access=tokens", `auth.jwt_secret=${SECRET}`] });
});
afterAll(() => server.stop());
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
  expect(await errors.next()).toMatchObject({ serverCode: "signature" });
  expect(client.connected).toBe(true);
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
