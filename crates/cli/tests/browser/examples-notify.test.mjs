// The notifications of the example pages, with their backend: examples/notify-backend, after `npm run sdk` there.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch, watchedContext } from "./browser.mjs";
import { LIMITS, freePort, startServer } from "./server.mjs";

const BACKEND = fileURLToPath(new URL("../../../../examples/notify-backend/", import.meta.url));

describe("the example page notify", () => {
  let browser, server, backend, folder, windows;

  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  beforeEach(async () => {
    windows = [];
    folder = await mkdtemp(join(tmpdir(), "notify-"));
    const api = `127.0.0.1:${await freePort()}`;
    // The commands of the page, with other ports and another file.
    const sets = ["mesa.listen=127.0.0.1:0", `api.listen=${api}`, `inbox.path=${join(folder, "inbox.redb")}`];
    const args = ["--config", join(BACKEND, "demo.toml"), ...sets.flatMap((set) => ["--set", set])];
    server = await startServer(0, args);
    backend = await Backend.start({ API: `http://${api}`, PAGE: `${server.url}examples/notify/` });
  });
  afterEach(async () => {
    for (const { context } of windows) await context.close();
    await backend.stop();
    await server.stop();
    await rm(folder, { recursive: true });
    assert.deepEqual(windows.flatMap(({ complaints }) => complaints), [], "the console stayed clean");
  });

  async function open(url) {
    const watched = await watchedContext(browser);
    windows.push(watched);
    const page = await watched.context.newPage();
    await page.goto(url);
    return page;
  }

  async function logIn(user) {
    const page = await open(backend.links.get(user));
    await page.locator(`html[data-connection="connected"]`).waitFor();
    await page.locator("#user").getByText(user, { exact: true }).waitFor();
    return page;
  }

  const texts = (page) => page.getByRole("log").locator("p").allTextContents();
  const shows = (page, text) => page.getByRole("log").getByText(text, { exact: true }).waitFor();

  test("a notification is shown in all tabs of its user only, and is unread until it is read", LIMITS, async () => {
    const [ann, second, bob] = [await logIn("ann"), await logIn("ann"), await logIn("bob")];
    assert.equal(new URL(ann.url()).hash, "", "the token is removed from the address");
    await backend.type("ann Your parcel is here", "stored for ann");
    await backend.type("ann <b>And a letter</b>", "stored for ann");
    await backend.type("* We close at six", "sent to everyone");
    for (const page of [ann, second]) {
      await shows(page, "We close at six");
      assert.deepEqual(await texts(page), ["We close at six", "<b>And a letter</b>", "Your parcel is here"]);
      await page.getByLabel("3 unread").waitFor();
      assert.equal(await page.getByText("while you were offline").count(), 0);
    }
    await shows(bob, "We close at six");
    assert.deepEqual(await texts(bob), ["We close at six"]);

    assert.match(await ann.title(), /^\(3\) /);
    await ann.getByRole("button", { name: "Mark all as read" }).click();
    assert.equal(await ann.getByLabel("3 unread").count(), 0);
    await ann.reload();
    await shows(ann, "Your parcel is here");
    assert.match(await ann.title(), /^Notifications/);
  });

  test("a notification to an offline user is shown at the next login, and marked", LIMITS, async () => {
    await backend.type("bob You have been away", "stored for bob");
    await backend.type("bob For long", "stored for bob");
    const bob = await logIn("bob");
    await shows(bob, "For long");
    assert.equal(await bob.getByText("while you were offline").count(), 2);
    await backend.type("bob Welcome back", "stored for bob");
    await shows(bob, "Welcome back");
    assert.deepEqual(await texts(bob), ["Welcome back", "For long", "You have been away"]);
    assert.equal(await bob.getByText("while you were offline").count(), 2);
  });

  test("without a token the page explains how to begin, and a wrong token is refused", LIMITS, async () => {
    const page = await open(`${server.url}examples/notify/`);
    await page.getByText("switchboard demo --config examples/notify-backend/demo.toml").waitFor();
    await page.getByLabel("Token").fill("no token");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").getByText("rejected this token").waitFor();
    const [, token] = backend.links.get("ann").split("#");
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("heading", { name: "No notifications" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
  });
});

test("the notify backend ends quietly if nothing reads its output", LIMITS, async () => {
  const child = spawn(process.execPath, ["backend.mjs"], { cwd: BACKEND, stdio: "pipe" });
  child.stdout.destroy();
  const errors = child.stderr.toArray();
  assert.deepEqual(await once(child, "exit"), [141, null]);
  assert.equal(Buffer.concat(await errors).toString(), "");
});

/** The backend process and its output. */
class Backend {
  /** The address of each user. */
  links = new Map();
  #child;
  #lines;

  static async start(settings) {
    const backend = new Backend();
    const env = { ...process.env, ...settings };
    const options = { cwd: BACKEND, env, stdio: ["pipe", "pipe", "inherit"] };
    backend.#child = spawn(process.execPath, ["backend.mjs"], options);
    backend.#lines = createInterface({ input: backend.#child.stdout })[Symbol.asyncIterator]();
    for (let line; !(line = await backend.#next()).startsWith("Type"); ) {
      const [, user, link] = /^link for (\w+): (\S+)$/.exec(line);
      backend.links.set(user, link);
    }
    return backend;
  }

  /** Types a line and waits for the result that the backend prints. */
  async type(line, answer) {
    this.#child.stdin.write(`${line}\n`);
    const said = await this.#next();
    assert.ok(said.startsWith(answer), said);
  }

  async stop() {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.stdin.end();
    assert.deepEqual(await exit, [0, null]);
  }

  async #next() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the backend has ended; is the SDK installed there? npm run sdk");
    return value;
  }
}
