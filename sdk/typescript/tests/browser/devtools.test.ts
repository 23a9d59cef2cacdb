/**
 * The panel of the devtools in a real browser, with all three clients and a strict content security policy.
 */

import { execFileSync } from "node:child_process";
import type { BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import type { EmitClient } from "../../src/client/index.js";
import type { mount, Panel } from "../../src/devtools/mount.js";
import type { Dispatch } from "../../src/dispatch/index.js";
import type { Client } from "../../src/mesa/index.js";
import { PAGE_SCRIPT, TestBrowser } from "../support/browser.js";
import { SECRET } from "../support/mesa.js";
import { BINARY, startServer, type Server } from "../support/server.js";
import { TcpProxy } from "../support/tcpProxy.js";

interface InPage {
  sdk: { EmitClient: typeof EmitClient; Dispatch: typeof Dispatch; Client: typeof Client; mount: typeof mount };
  client: EmitClient;
  panel: Panel;
  values: unknown[];
}

declare const window: Window & InPage;

let browser: TestBrowser;
let server: Server;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  const mounted = `${PAGE_SCRIPT} export { mount } from "./src/devtools/mount.ts";`;
  const settings = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", `auth.jwt_secret=${SECRET}`];
  [browser, server] = await Promise.all([TestBrowser.launch(mounted), startServer({ settings })]);
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});
beforeEach(async () => {
  context = await browser.context();
  page = await browser.tab(context);
});
afterEach(async () => {
  await context.close();
  expect(browser.uncaughtErrors).toEqual([]);
});

const frames = (): Locator => page.locator("#frames");
const frame = (direction: "in" | "out", text: string): Locator =>
  frames().locator(`li.frame.${direction}`).filter({ hasText: text });
const state = (text: string): Locator => frames().locator("li.state").filter({ hasText: text });
const button = (name: string | RegExp): Locator => page.getByRole("button", { name });

/** Mounts a panel for the whole page and connects an emit client. */
async function chat(port: number, room = "devtools"): Promise<void> {
  await page.evaluate(
    async ([port, room]) => {
      window.panel = window.sdk.mount(undefined, { open: true });
      const client = new window.sdk.EmitClient(`ws://127.0.0.1:${port}/?token=s3cret&x=1`, { reconnect: true, reconnectDelay: 50 });
      window.client = client;
      client.on("@connection", () => client.request("/join", { room, username: "Ann" }));
      await client.open();
      await client.request("/ping");
    },
    [port, room] as const,
  );
}

test("the frames of an emit client are shown with direction, name, size, time and the latency of replies", async () => {
  await chat(server.port);
  await frame("out", "request /join").waitFor();
  await frame("in", "reply /join").waitFor();
  expect(await frame("in", "reply /join").textContent()).toMatch(/reply \/join \d+(\.\d)? ms\d+ B\d\d:\d\d:\d\d\.\d{3}/);
  const text = JSON.stringify({ event: "/message", data: { room: "devtools", text: "hé" } });
  await page.evaluate(() => void window.client.emit("/message", { room: "devtools", text: "hé" }));
  const sent = frame("out", "/message");
  await sent.waitFor();
  expect(await sent.textContent()).toContain(`${Buffer.byteLength(text)} B`);
  await sent.locator("summary").click();
  expect(await sent.locator("pre").textContent()).toBe(JSON.stringify(JSON.parse(text), null, 2));
  await state("connecting to").waitFor();
  await state("open").waitFor();
});

test("tokens are never recorded", async () => {
  await chat(server.port);
  await page.evaluate(() => void window.client.emit("/x", { token: "s3cret \\\" quoted", ticket: "s3cret", list: [{ authorization: "s3cret" }], kept: "yes" }));
  await frame("out", "/x").waitFor();
  await frame("out", "/x").locator("summary").click();
  // The browser reports that the frame is open in a later task.
  await frame("out", "/x").locator("pre").waitFor();
  const shown = await frames().textContent();
  expect(shown).toContain('"kept": "yes"');
  expect(shown).toContain("token=…&x=1");
  expect(shown).not.toContain("s3cret");
});

test("pings are hidden unless they are asked for, and a filter finds names and data", async () => {
  await chat(server.port);
  await frame("in", "reply /join").waitFor();
  expect(await frame("out", "/ping").count()).toBe(0);
  await page.getByLabel("Pings").check();
  await frame("out", "/ping").waitFor();
  await frame("in", "reply /ping").waitFor();
  await page.getByLabel("Filter frames").fill("USERNAME");
  await frame("out", "/join").waitFor();
  expect(await frame("out", "/ping").count()).toBe(0);
  await page.getByLabel("Filter frames").fill("no such text");
  await page.getByText("Nothing matches the filter.").waitFor();
});

test("a paused panel does not change and catches up, and clear empties it", async () => {
  await chat(server.port);
  await frame("in", "reply /join").waitFor();
  await button("Pause").click();
  const before = await frames().getByRole("listitem").count();
  await page.evaluate(() => window.client.request("/echo", { n: 1 }));
  await button("Resume (2)").waitFor();
  expect(await frames().getByRole("listitem").count()).toBe(before);
  await button("Resume").click();
  await frame("in", "reply /echo").waitFor();
  await button("Clear").click();
  await page.getByText("Sent and received frames appear here.").waitFor();
  expect(await frames().getByRole("listitem").count()).toBe(0);
});

test("what is visible is copied, one line for each entry", async () => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await chat(server.port);
  await frame("in", "reply /join").waitFor();
  await button("Copy").click();
  await button("Copied").waitFor();
  const lines = (await page.evaluate(() => navigator.clipboard.readText())).split("\n");
  expect(lines.length).toBe(await frames().getByRole("listitem").count());
  expect(lines.some((line) => /^\d\d:\d\d:\d\d\.\d{3} ↑ \{"event":"\/join"/.test(line))).toBe(true);
});

test("a lost connection is shown with its close code, and the reconnect after it", async () => {
  const proxy = await TcpProxy.to(server.port);
  await chat(proxy.port);
  await frame("in", "reply /join").waitFor();
  proxy.cut();
  await state("closed 1006").waitFor();
  await frame("in", "reply /join").nth(1).waitFor();
  expect(await state("open").count()).toBe(2);
  await page.evaluate(() => window.client.close());
  await state("closed 1000").waitFor();
  await button("Wire").getByText("not connected").waitFor();
  await proxy.close();
});

test("a panel of one client shows its frames only, and the wait before each attempt", async () => {
  const proxy = await TcpProxy.to(server.port);
  await page.evaluate(async (port) => {
    const options = { reconnect: true, reconnectDelay: 50 };
    const [one, other] = [1, 2].map(() => new window.sdk.EmitClient(`ws://127.0.0.1:${port}`, options));
    window.panel = window.sdk.mount(one, { open: true });
    window.client = one!;
    await other!.open();
    await one!.open();
    await other!.request("/echo", "other");
    await one!.request("/echo", "one");
  }, proxy.port);
  await frame("in", "reply /echo").waitFor();
  expect(await frames().textContent()).not.toContain("other");
  proxy.cut();
  await state("attempt 1 in").waitFor();
  await page.evaluate(() => window.client.open());
  // The new connection is recorded, too.
  await page.evaluate(() => window.client.request("/echo", "again"));
  await frame("out", "again").waitFor();
  await page.evaluate(() => window.panel.unmount());
  expect(await page.locator("#frames").count()).toBe(0);
  expect(await page.evaluate(() => window.client.request("/echo", "still works"))).toEqual({ data: "still works" });
  await proxy.close();
});

test("a panel that is mounted after the connect says so, and shows the next connection", async () => {
  const proxy = await TcpProxy.to(server.port);
  await page.evaluate(async (port) => {
    window.client = await window.sdk.EmitClient.connect(`ws://127.0.0.1:${port}`, { reconnect: true, reconnectDelay: 50 });
    window.panel = window.sdk.mount(window.client, { open: true });
  }, proxy.port);
  await state("connected before this panel").waitFor();
  await button("Wire").getByText("connected", { exact: true }).waitFor();
  proxy.cut();
  await state("closed 1006").waitFor();
  await state("open").getByText(/^after/).waitFor();
  await page.evaluate(() => window.client.request("/echo", "seen"));
  await frame("in", "reply /echo").waitFor();
  await proxy.close();
});

test("the bar says connected while any connection is open", async () => {
  await chat(server.port);
  await page.evaluate(async (port) => {
    const other = await window.sdk.EmitClient.connect(`ws://127.0.0.1:${port}`);
    await other.close();
  }, server.port);
  await state("closed 1000").waitFor();
  await button("Wire").getByText("connected", { exact: true }).waitFor();
  await page.evaluate(() => window.client.close());
  await button("Wire").getByText("not connected").waitFor();
});

test("the frames of Koji and Mesa clients have the names of their protocols", async () => {
  const token = execFileSync(BINARY, ["token", "make", "--set", `auth.jwt_secret=${SECRET}`, "7"], { encoding: "utf8" }).trim();
  await page.evaluate(
    async ([port, token]) => {
      window.sdk.mount(undefined, { open: true });
      const dispatch = new window.sdk.Dispatch({ projectId: "devtools", host: `127.0.0.1:${port}` });
      dispatch.setUserInfo({ name: "Ann" });
      await dispatch.connect();
      dispatch.emitEvent("move", { from: "e2" });
      const mesa = new window.sdk.Client(`ws://127.0.0.1:${port}/mesa`, { autoConnect: false });
      await mesa.connect();
      await mesa.authenticate({ token });
    },
    [server.port, token] as const,
  );
  await frame("in", "platform CONNECTED").first().waitFor();
  await frame("out", "platform SET_USER_INFO").waitFor();
  await frame("in", "move").waitFor();
  await frame("in", "op 10 hello").waitFor();
  await frame("out", "op 2 authenticate").waitFor();
  await frame("in", "op 22 authenticated").waitFor();
  expect(await frames().textContent()).not.toContain(token);
});

test("text of strangers is never HTML", async () => {
  const html = `<img src=x onerror="document.title='broken in'"><b>x</b>`;
  await chat(server.port);
  await page.evaluate((html) => {
    window.client.emit(`/${html}`, { [html]: html });
    const raw = new WebSocket(`ws://127.0.0.1:${new URL(location.href).port}/${encodeURIComponent(html)}`);
    raw.close(4000, html.slice(0, 60));
  }, html);
  const sent = frame("out", html);
  await sent.waitFor();
  await sent.locator("summary").click();
  await sent.locator("pre").getByText("onerror").first().waitFor();
  expect(await page.locator("img, b").count()).toBe(0);
  expect(await page.title()).not.toBe("broken in");
});

test("binary frames and frames that are not JSON are shown", async () => {
  await page.evaluate(async (port) => {
    window.sdk.mount(undefined, { open: true });
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.send("no JSON");
    socket.send(new TextEncoder().encode('{"event":"/bytes","data":1}'));
    socket.send(new Blob(["four"]));
    socket.send("[1]");
  }, server.port);
  await frame("out", "not JSON").first().waitFor();
  await frame("out", "/bytes").waitFor();
  await frame("out", "binary data").getByText("4 B").waitFor();
  await frame("out", "[1]").waitFor();
});

test("memory is bounded in entries and in characters", async () => {
  await chat(server.port);
  await page.evaluate(async () => {
    for (let n = 0; n < 700; n++) window.client.emit("/echo", { n });
    for (let n = 0; n < 60; n++) window.client.emit("/echo", { large: "x".repeat(100_000) });
    await window.client.request("/echo", "last");
  });
  await frame("in", "reply /echo").waitFor();
  expect(await frames().getByRole("listitem").count()).toBeLessThanOrEqual(500);
  const large = frame("out", "large").last();
  await large.locator("summary").click();
  expect((await large.locator("pre").textContent())?.length).toBeLessThan(21_000);
  await button("Pause").click();
  await button("Resume").click();
  // 2 million characters hold 40 frames of 50,000.
  expect(await frames().getByRole("listitem").count()).toBeLessThanOrEqual(41);
});

test("the panel is used with the keyboard, and Escape closes it", async () => {
  await chat(server.port);
  const bar = button("Wire");
  await button("Pause").press("Escape");
  await frames().waitFor({ state: "hidden" });
  expect(await bar.getAttribute("aria-expanded")).toBe("false");
  await page.keyboard.press("Enter");
  await button("Pause").waitFor();
  expect(await bar.getAttribute("aria-expanded")).toBe("true");
});

test("in a narrow panel a name has the whole first line, and nothing is cut at the edge", async () => {
  await page.setViewportSize({ width: 320, height: 700 });
  await chat(server.port);
  await page.evaluate(() => void window.client.emit("/a-name-of-twenty-four", { n: 1 }));
  const sent = frame("out", "/a-name-of-twenty-four");
  await sent.waitFor();
  const widths = (part: string) => sent.locator(part).evaluate(({ clientWidth, scrollWidth }) => [clientWidth, scrollWidth]);
  const [shown = 0, needed = 0] = await widths(".frame-title");
  expect(shown).toBeGreaterThanOrEqual(needed);
  const top = async (part: string) => (await sent.locator(part).boundingBox())?.y ?? 0;
  expect(await top(".frame-time")).toBeGreaterThan(await top(".frame-title"));
  for (const edge of [sent.locator(".frame-time"), page.locator(".totals .in")]) {
    const { x = 0, width = 999 } = (await edge.boundingBox()) ?? {};
    expect(x + width).toBeLessThanOrEqual(320);
  }
});

test("wrong arguments of mount are errors that name them", async () => {
  const error = (args: unknown[]) =>
    page.evaluate((args) => {
      try {
        (window.sdk.mount as (...args: unknown[]) => unknown)(...args);
      } catch (thrown) {
        return String(thrown);
      }
      return "none";
    }, args);
  expect(await error(["#wire"])).toBe(`BadOptionError: the client is "#wire"; expected an EmitClient, a Dispatch or a Mesa Client`);
  expect(await error([null])).toContain("the client is null");
  expect(await error([undefined, { container: "#wire" }])).toBe(`BadOptionError: container is "#wire"; expected an element`);
  expect(await error([undefined, { opened: true }])).toContain("there is no option opened; the options are container, open, onToggle");
  expect(await page.locator("section[aria-label=Wire]").count()).toBe(0);
});

test("an import shows the panel, and records the page's sockets", async () => {
  const importing = await TestBrowser.launch(`import "./src/devtools/index.ts"; ${PAGE_SCRIPT}`);
  try {
    const own = await importing.context();
    page = await importing.tab(own);
    await page.evaluate(async (port) => {
      const client = await window.sdk.EmitClient.connect(`ws://127.0.0.1:${port}`);
      await client.request("/echo", "seen");
      // The class is a WebSocket to the page.
      window.values = [new WebSocket(`ws://127.0.0.1:${port}`) instanceof WebSocket, WebSocket.OPEN, WebSocket.name];
    }, server.port);
    expect(await page.evaluate(() => window.values)).toEqual([true, 1, "WebSocket"]);
    const bar = button("Wire");
    expect(await bar.getAttribute("aria-expanded")).toBe("false");
    await bar.click();
    await frame("in", "reply /echo").waitFor();
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 700 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow).toBeLessThanOrEqual(0);
    }
    await own.close();
    expect(importing.uncaughtErrors).toEqual([]);
  } finally {
    await importing.close();
  }
});
