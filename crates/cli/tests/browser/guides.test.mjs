// The pages of the guides, saved from their text as a reader saves them: only the address of the server is replaced.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { launch, watchedContext } from "./browser.mjs";
import { LIMITS, startServe } from "./server.mjs";

const GUIDES = new URL("../../../../docs/guides/", import.meta.url);

describe("the pages of the guides", () => {
  let browser, folder, server;

  before(async () => {
    [browser, server] = await Promise.all([launch(), startServe()]);
    folder = await mkdtemp(join(tmpdir(), "switchboard-guides-"));
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    await rm(folder, { recursive: true });
  });

  /** Opens the page of a guide in two windows of one context. */
  async function open(guide, name, fragment = "") {
    const text = await readFile(new URL(guide, GUIDES), "utf8");
    const [, page] = /```html\n(<!doctype html>[^]*?)```/.exec(text);
    assert.match(page, /ws:\/\/localhost:3000\//);
    const file = join(folder, name);
    await writeFile(file, page.replace("localhost:3000", new URL(server.url).host));
    const watched = await watchedContext(browser, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    const windows = await Promise.all([1, 2].map(async () => {
      const window = await watched.context.newPage();
      await window.goto(pathToFileURL(file).href + fragment);
      return window;
    }));
    return { ...watched, windows };
  }

  test("two players in the game lobby see each other, chat, and race to ten clicks", LIMITS, async () => {
    const { context, complaints, windows } = await open("game-lobby.md", "lobby.html", "#friends");
    const [ann, bob] = windows;
    for (const [window, name] of [[ann, "Ann"], [bob, "Bob"]]) {
      await window.getByText("on friends").waitFor();
      await window.getByLabel("Your name").fill(name);
      await window.getByLabel("Your name").press("Tab");
    }
    await ann.getByText("Bob", { exact: true }).waitFor();
    await bob.getByText("Ann", { exact: true }).waitFor();
    await ann.getByLabel("Message").fill("ready when <b>you</b> are");
    await ann.getByRole("button", { name: "Say" }).click();
    for (const window of windows) await window.getByText("Ann: ready when <b>you</b> are").waitFor();
    for (const window of windows) await window.getByLabel("ready").check();
    for (const window of windows) await window.getByText("Go!").waitFor();
    for (let click = 0; click < 10; click++) await bob.getByRole("button", { name: "Click!" }).click();
    for (const window of windows) await window.getByText("Bob wins").waitFor();
    for (const window of windows) {
      assert.equal(await window.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, "the page fits a phone");
    }
    await bob.close();
    await ann.getByRole("listitem").nth(1).waitFor({ state: "detached" });
    await context.close();
    assert.deepEqual(complaints, [], "the console stayed clean");
  });

  test("two windows of the room page receive each other's messages", LIMITS, async () => {
    const { context, complaints, windows } = await open("rooms-without-code.md", "rooms.html");
    const [ann, bob] = windows;
    // A message reaches members only, and the page does not show that the other one has joined.
    await assertReaches(ann, bob, "hello");
    await assertReaches(bob, ann, "hello yourself");
    await context.close();
    assert.deepEqual(complaints, [], "the console stayed clean");
  });
});

/** Sends a message until it arrives. */
async function assertReaches(from, to, text) {
  const arrived = to.getByText(new RegExp(`Guest \\d+: ${text}`)).waitFor();
  let isThere = false;
  void arrived.then(() => (isThere = true));
  while (!isThere) {
    await from.getByLabel("Message").fill(text);
    await from.getByRole("button", { name: "Send" }).click();
    await Promise.race([arrived, new Promise((resolve) => setTimeout(resolve, 200))]);
  }
}
