// The page of `serve` at `/`, and the pages that it offers to copy: each is saved as a file and used.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { launch, watchedContext } from "./browser.mjs";
import { LIMITS, freePort, startServe } from "./server.mjs";

const SECRET = "a secret of this test, and long enough";
const KEY = "the key of this test, also long";

describe("the page of serve", () => {
  let browser, watched, folder, server;

  before(async () => {
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), "switchboard-front-"));
  });

  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  beforeEach(async () => {
    watched = await watchedContext(browser);
  });

  afterEach(async () => {
    await watched.context.close();
    await server?.stop();
    server = undefined;
    assert.deepEqual(watched.complaints, [], "the console stayed clean");
  });

  /** Opens the page of a server with these settings. */
  async function open(settings = [], options) {
    server = await startServe(settings);
    const context = options ? (await watchedContext(browser, options)).context : watched.context;
    const page = await context.newPage();
    const answer = await page.goto(server.url);
    assert.equal(answer.status(), 200, await answer.text());
    return page;
  }

  /** Saves the code of a block, after a change, as a file, and opens it in as many windows. */
  async function use(page, name, windows, change = (code) => code) {
    const code = change(await page.getByLabel(name, { exact: true }).textContent());
    const file = join(folder, name);
    await writeFile(file, code);
    return Promise.all(Array.from({ length: windows }, async () => {
      const window = await watched.context.newPage();
      await window.goto(pathToFileURL(file).href);
      return window;
    }));
  }

  test("the chat in one file works from the disk in two windows", LIMITS, async () => {
    const [ann, bob] = await use(await open(), "rooms.html", 2);
    await connected(ann);
    await connected(bob);
    // A message reaches the members only, so the other one must have joined.
    await say(bob, "first <b>words</b>", ann);
    await say(ann, "and an answer", bob);
    const lines = (await bob.locator("pre").textContent()).trim().split("\n");
    assert.equal(lines[0], "You: first <b>words</b>");
    assert.match(lines[1], /^Guest \d+: and an answer$/);
    assert.equal(await ann.locator("b").count(), 0, "text of others is no HTML");
  });

  test("the pointers in one file show the other window's pointer", LIMITS, async () => {
    const [ann, bob] = await use(await open(), "pointers.html", 2);
    for (const page of [ann, bob]) await page.getByText("2 here").waitFor();
    await ann.mouse.move(40, 60);
    await ann.mouse.move(120, 80);
    await bob.waitForFunction(() => document.querySelector("i")?.style.translate === "120px 80px");
    await ann.close();
    await bob.getByText("1 here").waitFor();
    await bob.locator("i").waitFor({ state: "detached" });
  });

  test("the pointers name a project that exists, if only some projects do", LIMITS, async () => {
    const [ann] = await use(await open(["projects.any=false", "projects.named={\"my chess\" = {}}"]), "pointers.html", 1);
    await ann.getByText("1 here").waitFor();
  });

  test("the messages of a user arrive with the page and the commands that are shown", LIMITS, async () => {
    const api = `127.0.0.1:${await freePort()}`;
    const settings = [
      "mesa.enabled=true", "mesa.listen=127.0.0.1:0", `auth.jwt_secret=${SECRET}`, `api.keys=${KEY}`, `api.listen=${api}`,
    ];
    const page = await open(settings);
    const [ann] = await use(page, "messages.html", 1);
    const commands = (await page.getByLabel("Commands").textContent()).split("\n");
    const config = join(folder, "switchboard.toml");
    await writeFile(config, `[auth]\njwt_secret = "${SECRET}"\n`);
    const token = await shell(commands[0].replace("switchboard.toml", config));
    await ann.getByLabel("Token").fill(token.trim());
    await ann.getByRole("button", { name: "Log in" }).click();
    await ann.getByText('Logged in as {"id":"ann"}').waitFor();
    await shell(commands[1].replace("KEY", `'${KEY}'`));
    await ann.getByText('NEWS: {"text":"hi"}').waitFor();
  });

  test("with access by tokens the code works with the token that the shown command makes", LIMITS, async () => {
    const page = await open(["access=tokens", `auth.jwt_secret=${SECRET}`]);
    const config = join(folder, "tokens.toml");
    await writeFile(config, `[auth]\njwt_secret = "${SECRET}"\n`);
    const token = async (label) => {
      const command = await page.getByLabel(label, { exact: true }).textContent();
      return (await shell(command.replace("switchboard.toml", config))).trim();
    };
    const [rooms, shards] = [await token("Token for rooms"), await token("Token for shards")];
    const [ann, bob] = await use(page, "rooms.html", 2, (code) => code.replace("TOKEN", rooms));
    for (const window of [ann, bob]) await connected(window);
    await say(ann, "allowed", bob);
    const pointers = await use(page, "pointers.html", 2, (code) => code.replace("TOKEN", shards));
    for (const window of pointers) await window.getByText("2 here").waitFor();
  });

  test("a refused token is reported by the page of the messages", LIMITS, async () => {
    const settings = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", `auth.jwt_secret=${SECRET}`];
    const [ann] = await use(await open(settings), "messages.html", 1);
    await ann.getByLabel("Token").fill("nonsense");
    await ann.getByRole("button", { name: "Log in" }).click();
    await ann.getByText("The token was refused").waitFor();
  });

  test("the button copies the code", LIMITS, async () => {
    const page = await open();
    await watched.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy" }).first().click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    const shown = await page.getByLabel("rooms.html", { exact: true }).textContent();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), shown);
    assert.match(shown, new RegExp(`new WebSocket\\("ws://127.0.0.1:${new URL(server.url).port}/"\\)`));
  });

  test("the page can be read without JavaScript, and every link in it works", LIMITS, async () => {
    const page = await open([], { javaScriptEnabled: false });
    await page.getByRole("heading", { name: "Rooms" }).first().waitFor();
    assert.equal(await page.getByRole("button").count(), 0, "no button is left that does nothing");
    const links = await page.getByRole("link").evaluateAll((links) => links.map(({ href }) => href));
    assert.ok(links.length >= 4, `${links}`);
    for (const link of links) {
      assert.equal((await page.request.get(link)).status(), 200, link);
      const { hash } = new URL(link);
      if (hash) assert.equal(await page.locator(hash).count(), 1, link);
    }
    await page.context().close();
  });

  test("no width of the window makes the page scroll sideways", LIMITS, async () => {
    const page = await open(["mesa.enabled=true", "mesa.listen=127.0.0.1:0"]);
    for (const width of [320, 390, 700, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${width}: ${overflow}`);
    }
  });

  async function say(from, text, to) {
    await from.getByLabel("Message").fill(text);
    await from.getByLabel("Message").press("Enter");
    await to.getByText(text).waitFor();
  }

  /** Waits until the page has joined its room: the server answers the frames of a connection in order. */
  async function connected(page) {
    await page.evaluate(() => new Promise((resolve) => {
      const probe = new WebSocket(document.querySelector("script").textContent.match(/"(ws:[^"]+)"/)[1]);
      probe.onopen = () => probe.send('{"event":"/join","data":{"room":"probe"},"ackId":1}');
      probe.onmessage = () => { probe.close(); resolve(); };
    }));
  }
});

/** Runs a command line of the page with the binary under test as `switchboard`. */
async function shell(line) {
  const { TEST_BINARY } = process.env;
  const script = `switchboard() { "${TEST_BINARY}" "$@"; }\n${line}`;
  const { stdout } = await promisify(execFile)("bash", ["-c", script]);
  return stdout;
}
