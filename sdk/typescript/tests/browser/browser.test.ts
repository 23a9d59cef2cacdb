/**
 * The clients in a real browser: sleep, background tabs, several tabs, and server restarts.
 */

import { execFileSync } from "node:child_process";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import type { EmitClient, StateChange } from "../../src/client/index.js";
import type { Dispatch } from "../../src/dispatch/index.js";
import type { Client } from "../../src/mesa/index.js";
import { TestBrowser } from "../support/browser.js";
import { SECRET } from "../support/mesa.js";
import { TcpProxy } from "../support/tcpProxy.js";
import { BINARY, freePort, startServer, type Server } from "../support/server.js";

interface InPage {
  sdk: { EmitClient: typeof EmitClient; Dispatch: typeof Dispatch; Client: typeof Client };
  client: EmitClient;
  mesa: Client;
  dispatch: Dispatch;
  states: StateChange[];
  received: unknown[];
}

declare const window: Window & InPage;

let browser: TestBrowser;
let server: Server;
let port: number;

beforeAll(async () => {
  port = await freePort();
  [browser, server] = await Promise.all([TestBrowser.launch(), startServer({ port })]);
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});
afterEach(() => expect(browser.uncaughtErrors).toEqual([]));

/** Connects an emit client that joins a room at every connect. */
async function chat(page: Page, at: number, room: string): Promise<void> {
  await page.evaluate(
    async ([at, room]) => {
      const options = { reconnect: true, maxReconnectDelay: 60_000, reconnectDelay: 60_000, watchdogTimeout: 500 };
      const client = (window.client = new window.sdk.EmitClient(`ws://127.0.0.1:${at}`, options));
      window.states = [];
      window.received = [];
      client.on("@state", (change) => window.states.push(change));
      client.on("message", ({ text }: { text: string }) => window.received.push(text));
      client.on("@connection", () => client.request("/join", { room, username: "Ann" }));
      await client.open();
      await client.request("/ping");
    },
    [at, room] as const,
  );
}

const receives = (page: Page, text: string) => page.waitForFunction((text) => window.received.includes(text), text);
/** Checks the history of states, because the client may already have reconnected. */
const isLost = (page: Page) => page.waitForFunction(() => window.states.some(({ state }) => state === "reconnecting"));
const isState = (page: Page, state: string) => page.waitForFunction((state) => window.client.state === state, state);

test("after sleep, a client detects its dead socket when the network returns, and reconnects at once", async () => {
  const proxy = await TcpProxy.to(port);
  const context = await browser.context();
  const page = await browser.tab(context);
  await chat(page, proxy.port, "sleep");
  await context.setOffline(true);
  proxy.stopForwarding();
  await page.evaluate(() => void window.client.emit("/message", { room: "sleep", text: "lost" }));
  expect(await page.evaluate(() => [navigator.onLine, window.client.state])).toEqual([false, "connected"]);

  // After waking, the socket looks open but receives nothing. Without the wake event the watchdog would
  // need 25 s, and the next attempt up to a minute more.
  proxy.resumeForwarding();
  await context.setOffline(false);
  await page.waitForFunction(() => window.states.some(({ reason }) => reason.startsWith("the server did not answer")));
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await isState(page, "connected");
  await page.evaluate(() => void window.client.emit("/message", { room: "sleep", text: "awake" }));
  await receives(page, "awake");
  await context.close();
  await proxy.close();
});

test("an offline client queues messages, and sends them when the network returns", async () => {
  const proxy = await TcpProxy.to(port);
  const context = await browser.context();
  const page = await browser.tab(context);
  await chat(page, proxy.port, "off");
  await context.setOffline(true);
  proxy.cut();
  await isLost(page);
  await page.evaluate(() => void window.client.emit("/message", { room: "off", text: "kept" }));
  expect(await page.evaluate(() => window.states.at(-1)?.attempt)).toBe(0);
  await context.setOffline(false);
  await isState(page, "connected");
  await receives(page, "kept");
  await context.close();
  await proxy.close();
});

test("a frozen background tab that lost its connection reconnects when it is shown", async () => {
  const proxy = await TcpProxy.to(port);
  const context = await browser.context();
  const page = await browser.tab(context);
  await chat(page, proxy.port, "background");
  const devtools = await context.newCDPSession(page);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  proxy.cut();
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await isLost(page);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange", { bubbles: true })));
  await isState(page, "connected");
  await page.evaluate(() => void window.client.emit("/message", { room: "background", text: "back" }));
  await receives(page, "back");
  await context.close();
  await proxy.close();
});

test("two tabs exchange events again after the server restarts", async () => {
  const context = await browser.context();
  const tabs = [await browser.tab(context), await browser.tab(context)];
  for (const [index, page] of tabs.entries()) {
    await page.evaluate(
      async ([at, name]) => {
        const options = { reconnectDelay: 100, maxReconnectDelay: 500 };
        const dispatch = new window.sdk.Dispatch({ projectId: "tabs", host: `127.0.0.1:${at}`, options });
        window.dispatch = dispatch;
        window.received = [];
        dispatch.setUserInfo({ name });
        dispatch.on("said", ({ text }) => window.received.push(text));
        await dispatch.connect();
      },
      [port, `tab ${index}`] as const,
    );
  }
  const bothThere = (page: Page) =>
    page.waitForFunction(() => {
      const names = window.dispatch.connectedClients.map(({ userInfo }) => userInfo["name"]);
      return window.dispatch.state === "connected" && names.sort().join() === "tab 0,tab 1";
    });
  await Promise.all(tabs.map(bothThere));
  await server.stop();
  await Promise.all(tabs.map((page) => page.waitForFunction(() => window.dispatch.state === "reconnecting")));
  server = await startServer({ port });
  await Promise.all(tabs.map(bothThere));
  await tabs[0]?.evaluate(() => window.dispatch.emitEvent("said", { text: "again" }));
  for (const page of tabs) await receives(page, "again");
  expect(await tabs[0]?.evaluate(() => window.dispatch.info())).toEqual([
    { shardName: "shard-1", numConnectedClients: 2 },
  ]);
  await context.close();
});

test("a Mesa client in a tab reconnects after a restart and sends its token again", async () => {
  const settings = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.reconnect.enabled=true", "mesa.reconnect.interval_ms=100", `auth.jwt_secret=${SECRET}`];
  const args = ["token", "make", "--set", `auth.jwt_secret=${SECRET}`, "7"];
  const token = execFileSync(BINARY, args, { encoding: "utf8" }).trim();
  const own = await freePort();
  const start = () => startServer({ port: own, settings });
  let mesa = await start();
  const context = await browser.context();
  const page = await browser.tab(context);
  await page.evaluate(
    ([at, token]) => {
      const client = (window.mesa = new window.sdk.Client(`ws://127.0.0.1:${at}/mesa`, { authorization: token }));
      window.received = [];
      client.on("authenticated", (user) => window.received.push(user));
    },
    [own, token] as const,
  );
  const logins = (count: number) => page.waitForFunction((count) => window.received.length === count, count);
  await logins(1);
  await mesa.kill();
  await page.waitForFunction(() => window.mesa.state === "reconnecting");
  mesa = await start();
  await logins(2);
  expect(await page.evaluate(() => window.received)).toEqual([{ id: "7" }, { id: "7" }]);
  await context.close();
  await mesa.stop();
});
