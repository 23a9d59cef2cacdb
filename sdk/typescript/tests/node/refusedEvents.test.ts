/**
 * Events without a reply that the server refuses: a listener receives the reason, or the console shows it.
 */

import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import WebSocket from "ws";

import { EmitClient } from "../../src/client/index.js";
import { Dispatch, DISPATCH_EVENT } from "../../src/dispatch/index.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { startServer, type Server } from "../support/server.js";

const open: (() => unknown)[] = [];
let server: Server;

beforeAll(async () => {
  server = await startServer({ settings: ["projects.every.events=['chat']"] });
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of open.splice(0)) await close();
});
afterAll(() => server.stop());

const warnings = () => {
  const shown = new ReceiveQueue<unknown>();
  vi.spyOn(console, "warn").mockImplementation(shown.put);
  return shown;
};

const connectEmit = async (options: object) => {
  const client = await EmitClient.connect(server.url, { WebSocket, ...options });
  open.push(() => client.close());
  return client;
};

test.each([{ reconnect: false }, { reconnect: true }, { reconnect: true, resume: false }])(
  "a mistyped event raises @refused with %j, and an accepted one does not",
  async (options) => {
    const shown = warnings();
    const client = await connectEmit(options);
    const refused = new ReceiveQueue<unknown>();
    client.on("@refused", refused.put);
    client.emit("/mesage", { text: "hi" });
    client.emit("/typing", {});
    client.emit("/announce", { to: 7 });
    expect(await refused.next()).toEqual({ event: "/mesage", code: "no_handler", error: "No handler for: /mesage" });
    expect(await refused.next()).toMatchObject({ event: "/announce", code: "bad_data" });
    await client.request("/ping");
    expect(refused.pending).toEqual([]);
    expect(shown.pending).toEqual([]);
  },
);

test("without a listener the console shows a refused event", async () => {
  const shown = warnings();
  const client = await connectEmit({});
  client.emit("/mesage");
  expect(await shown.next()).toBe("the server refused /mesage: No handler for: /mesage");
});

test("a Dispatch raises REFUSED for an event that its project does not allow, or the console shows it", async () => {
  const shown = warnings();
  const dispatch = new Dispatch({ projectId: "p", host: server.url, options: { WebSocket } });
  open.push(() => dispatch.disconnect());
  await dispatch.connect();
  await dispatch.emitEvent("chess", {});
  expect(await shown.next()).toBe("the server refused chess: the project does not allow this event");
  const refused = new ReceiveQueue<unknown>();
  dispatch.on(DISPATCH_EVENT.REFUSED, refused.put);
  await dispatch.emitEvent("chat", {});
  await dispatch.emitEvent("chess", {});
  expect(await refused.next()).toMatchObject({ eventName: "chess", code: "not_allowed" });
  expect(shown.pending).toEqual([]);
});
