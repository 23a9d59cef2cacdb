/**
 * Reading the history of rooms, against the real server.
 */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient, type Position } from "../../src/client/index.js";
import { startServer, type Server } from "../support/server.js";

let server: Server;
let client: EmitClient;

beforeAll(async () => {
  server = await startServer({ command: "serve", settings: ["history.rooms.lobby.messages_max=2"] });
});
afterAll(() => server.stop());
afterEach(() => client.close());

test("a client reads the latest messages, older ones, and what it has missed", async () => {
  client = await EmitClient.connect(server.url, { WebSocket });
  await client.request("/join", { room: "lobby" });
  const empty = await client.history("lobby");
  expect(empty).toMatchObject({ room: "#lobby", top: 0, first: 1, gap: false, messages: [] });
  for (const text of ["a", "b", "c"]) await client.request("/message", { room: "lobby", text });

  const { epoch, messages, ...latest } = await client.history("#lobby");
  expect(epoch).toBe(empty.epoch);
  expect(latest).toEqual({ room: "#lobby", top: 3, first: 2, gap: false });
  expect(messages.map(({ offset, event, data }) => [offset, event, data])).toEqual([
    [2, "message", expect.objectContaining({ text: "b" })],
    [3, "message", expect.objectContaining({ text: "c" })],
  ]);
  const offsets = async (options: { before?: Position; after?: Position; limit?: number }) => {
    const { gap, messages } = await client.history("lobby", options);
    return [gap, ...messages.map(({ offset }) => offset)];
  };
  expect(await offsets({ limit: 1 })).toEqual([false, 3]);
  expect(await offsets({ before: { epoch, offset: 3 } })).toEqual([false, 2]);
  expect(await offsets({ after: { epoch, offset: 2 } })).toEqual([false, 3]);
  expect(await offsets({ after: { epoch, offset: 0 } })).toEqual([true, 2, 3]);
  expect(await offsets({ after: { epoch: "0123456789abcdef", offset: 3 } })).toEqual([true]);
});

test("a wrong read is rejected, by the client or by the server", async () => {
  client = await EmitClient.connect(server.url, { WebSocket });
  await expect(client.history("hall")).rejects.toMatchObject({ serverCode: "no_history" });
  await expect(client.history(7 as never)).rejects.toMatchObject({ code: "bad_option" });
  await expect(client.history("lobby", { limit: -1 })).rejects.toMatchObject({ code: "bad_option" });
  await expect(client.history("lobby", { most: 1 } as never)).rejects.toMatchObject({ code: "bad_option" });
  await expect(client.history("lobby", { before: { epoch: "x", offset: 1 } })).rejects.toMatchObject({ serverCode: "bad_data" });
});
