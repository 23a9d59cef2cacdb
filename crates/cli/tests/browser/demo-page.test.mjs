// The page of the demo at `/`: live miniatures, code to copy, and the code for phones.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { launch, openTab, watchedContext } from "./browser.mjs";
import { LIMITS, startServer } from "./server.mjs";

describe("the page of the demo", () => {
  let browser, watched, folder, server;

  before(async () => {
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), "switchboard-demo-"));
  });

  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  beforeEach(async () => {
    watched = await watchedContext(browser, { viewport: { width: 1280, height: 900 } });
    server = await startServer();
  });

  afterEach(async () => {
    await watched.context.close();
    await server.stop();
    assert.deepEqual(watched.complaints, [], "the console stayed clean");
  });

  async function open() {
    const page = await watched.context.newPage();
    const answer = await page.goto(server.url);
    assert.equal(answer.status(), 200, await answer.text());
    return page;
  }

  test("the miniature of the chat shows what happens in the chat", LIMITS, async () => {
    const page = await open();
    const chat = page.frameLocator('iframe[src="/chat/"]');
    await chat.locator('html[data-room="lobby"]').waitFor();
    const ada = await openTab(watched.context, server.url, { room: "lobby", name: "Ada" });
    await ada.say("Seen in the miniature");
    await page.bringToFront();
    await chat.getByRole("log", { name: "Messages" }).getByText("Seen in the miniature").waitFor();
  });

  test("every card has a miniature that loads when it is seen, takes no focus, and links to its page", LIMITS, async () => {
    const page = await open();
    const cards = page.locator(".card");
    assert.equal(await cards.count(), 7);
    for (const card of await cards.all()) {
      await card.scrollIntoViewIfNeeded();
      const frame = card.locator("iframe");
      await frame.waitFor();
      assert.equal(await frame.evaluate((frame) => frame.inert && getComputedStyle(frame).pointerEvents), "none");
      const path = await card.getByRole("link").first().getAttribute("href");
      assert.equal(await frame.getAttribute("src"), path);
      assert.equal((await page.request.get(new URL(path, server.url).href)).status(), 200, path);
    }
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
  });

  test("the code of a card is copied, and works from the disk", LIMITS, async () => {
    await watched.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const page = await open();
    const copied = async (title) => {
      await page.bringToFront();
      const card = page.locator(".card").filter({ has: page.getByRole("link", { name: title, exact: true }) });
      await card.getByRole("button", { name: "Copy this code" }).click();
      await card.getByRole("button", { name: "Copied" }).waitFor();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    const windows = async (name, code) => {
      const file = join(folder, name);
      await writeFile(file, code);
      return Promise.all([0, 1].map(async () => {
        const window = await watched.context.newPage();
        await window.goto(pathToFileURL(file).href);
        return window;
      }));
    };

    const [ann, bob] = await windows("rooms.html", await copied("Chat, with its frames"));
    await ann.getByLabel("Message").fill("hi");
    await ann.getByLabel("Message").press("Enter");
    await ann.getByText(/Guest \d+: hi/).waitFor();
    await bob.getByLabel("Message").fill("hello");
    await bob.getByLabel("Message").press("Enter");
    await ann.getByText(/Guest \d+: hello/).waitFor();
    const lines = (await ann.locator("pre").textContent()).trim().split("\n");
    assert.equal(lines.filter((line) => line.endsWith(": hi")).length, 1, "no message is shown twice");

    const pointers = await windows("pointers.html", await copied("A canvas for four"));
    for (const window of pointers) await window.getByText("2 here").waitFor();
    assert.match(await copied("Catch the star"), /import \{ Dispatch/);
  });

  test("a demo for this machine only tells how a phone reaches it", LIMITS, async () => {
    const page = await open();
    const { port } = new URL(server.url);
    await page.getByText(`switchboard demo --public --listen 0.0.0.0:${port}`).waitFor();
    assert.equal(await page.getByRole("img", { name: /^QR code/ }).count(), 0);
  });

  test("a demo that another machine has reached shows its address as a QR code", LIMITS, async () => {
    await server.stop();
    server = await startServer(0, ["--set", "clients.trusted_proxies=127.0.0.1"]);
    const headers = { "x-forwarded-for": "192.0.2.8", "x-forwarded-host": "192.0.2.7:3000", "x-forwarded-proto": "https" };
    const answer = await watched.context.request.get(server.url, { headers });
    const html = await answer.text();
    assert.ok(html.includes('aria-label="QR code of https://192.0.2.7:3000/"'), html);
    assert.ok(!html.includes("--public"), html);
    for (const evil of ['"><script>alert(1)</script>', "a b", "x@evil.example"]) {
      const answer = await watched.context.request.get(server.url, { headers: { ...headers, "x-forwarded-host": evil } });
      const html = await answer.text();
      assert.ok(!html.includes("alert(1)") && !html.includes("evil.example"), html);
    }
  });

  test("the page can be read without JavaScript, and no width makes it scroll sideways", LIMITS, async () => {
    const plain = await watchedContext(browser, { javaScriptEnabled: false });
    const page = await plain.context.newPage();
    await page.goto(server.url);
    await page.getByRole("link", { name: "A canvas for four" }).waitFor();
    assert.equal(await page.getByRole("button").count(), 0);
    await plain.context.close();

    const live = await open();
    for (const width of [320, 390, 700, 1280]) {
      await live.setViewportSize({ width, height: 800 });
      const overflow = await live.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${width}: ${overflow}`);
    }
  });
});
