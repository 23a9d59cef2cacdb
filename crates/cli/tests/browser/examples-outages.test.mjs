// The chat of the example pages while its network or its server fails: no line is lost, doubled or out of order. With LONG=1 the
// lid is closed for 30 s.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { WebSocket } from "ws";

import { launch, PATIENCE_MS, watchedContext } from "./browser.mjs";
import { Network } from "./network.mjs";
import { freePort, LIMITS, startServer } from "./server.mjs";

/** How long the lid is closed, in ms. */
const LID_MS = process.env.LONG ? 30_000 : 3000;

/** Time between two lines, in ms. The page shows at most 300 lines. */
const LINE_MS = process.env.LONG ? 200 : 40;

const CONFIG = `
[history.rooms."*"]
messages_max = 1000
`;

/** Says numbered lines in the lobby, until it is stopped. */
class Speaker {
  static async at(url) {
    const speaker = new Speaker();
    speaker.socket = new WebSocket(url.replace("http", "ws"));
    await once(speaker.socket, "open");
    speaker.said = 0;
    const timer = setInterval(() => {
      speaker.said++;
      const frame = { event: "/message", data: { room: "lobby", text: `line ${speaker.said}` } };
      speaker.socket.send(JSON.stringify(frame));
    }, LINE_MS);
    speaker.stop = () => clearInterval(timer);
    return speaker;
  }

  close() {
    this.stop();
    this.socket.terminate();
  }
}

/** Starts what each test needs: a server with a history, a network to it, and a browser. Undone when the test ends. */
async function prepare(context, args = []) {
  const undo = [];
  context.after(async () => {
    for (const step of undo.reverse()) await step();
  });
  const folder = await mkdtemp(join(tmpdir(), "outages-"));
  undo.push(() => rm(folder, { recursive: true }));
  const config = join(folder, "switchboard.toml");
  await writeFile(config, CONFIG);
  const start = async () => {
    const server = await startServer(0, ["--config", config, ...args]);
    undo.push(() => server.stop());
    return server;
  };
  const server = await start();
  const network = await Network.to(portOf(server));
  undo.push(() => network.close());
  const browser = await launch();
  undo.push(() => browser.close());
  const speakAt = async ({ url }) => {
    const speaker = await Speaker.at(url);
    undo.push(() => speaker.close());
    return speaker;
  };
  return { server, network, browser, start, speakAt };
}

const portOf = (server) => Number(new URL(server.url).port);

async function openChat(browser, network) {
  const { context } = await watchedContext(browser);
  const page = await context.newPage();
  await page.goto(`${network.url}examples/chat/`);
  await page.locator('html[data-room="lobby"]').waitFor({ state: "attached" });
  const lifecycle = await context.newCDPSession(page);
  const setFrozen = (isFrozen) => lifecycle.send("Page.setWebLifecycleState", { state: isFrozen ? "frozen" : "active" });
  return { context, page, setFrozen };
}

/** The numbers of the lines that the page shows. */
async function shownLines(page) {
  const texts = await page.locator("#lines .line p").allTextContents();
  return texts.map((text) => Number(text.replace("line ", "")));
}

async function until(what, condition) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(50)) if (await condition()) return;
  assert.fail(`${what}: not within ${PATIENCE_MS} ms`);
}

/** The page shows every line from the first one on, once and in order, up to the last. */
async function assertComplete(page, speaker) {
  speaker.stop();
  await until("the last line arrives", async () => (await shownLines(page)).at(-1) === speaker.said);
  const shown = await shownLines(page);
  const expected = Array.from({ length: speaker.said - shown[0] + 1 }, (_, n) => shown[0] + n);
  assert.deepEqual(shown, expected);
  return shown;
}

const showsSome = (page, count) => until("lines arrive", async () => (await shownLines(page)).length >= count);

test("a laptop whose lid was closed shows every line that was said meanwhile", LIMITS, async (t) => {
  const { server, network, browser, speakAt } = await prepare(t);
  const { context, page, setFrozen } = await openChat(browser, network);
  const speaker = await speakAt(server);
  await showsSome(page, 5);
  // Frozen pages run no code; the network is gone, and nobody has closed the connection.
  network.goDown();
  await context.setOffline(true);
  await setFrozen(true);
  const saidBefore = speaker.said;
  await sleep(LID_MS);
  await setFrozen(false);
  const shown = await shownLines(page);
  assert.ok(shown.at(-1) <= saidBefore + 1, `the network is cut: line ${shown.at(-1)} arrived`);
  assert.ok(speaker.said > saidBefore + 10);
  network.comeUp();
  await context.setOffline(false);
  await assertComplete(page, speaker);
});

test("a tab in the background that loses its connection shows every line once it is in front again", LIMITS, async (t) => {
  const { server, network, browser, speakAt } = await prepare(t);
  const { page, setFrozen } = await openChat(browser, network);
  const speaker = await speakAt(server);
  await showsSome(page, 5);
  // Its timers stand still, so it cannot reconnect by itself.
  await setFrozen(true);
  network.cut();
  await sleep(LID_MS);
  await setFrozen(false);
  await assertComplete(page, speaker);
});

test("a page shows every line while its server is replaced, and none twice", LIMITS, async (t) => {
  const redisPort = await freePort();
  const redis = spawn("redis-server", ["--port", `${redisPort}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: "ignore" });
  after(() => redis.kill("SIGKILL"));
  const { server, network, browser, start, speakAt } = await prepare(t, ["--set", `redis.url=redis://127.0.0.1:${redisPort}`, "--set", "stop.window_ms=3000"]);
  const next = await start();
  const { page } = await openChat(browser, network);
  // The speaker stays, so that the lines go on.
  const speaker = await speakAt(next);
  await showsSome(page, 5);
  let states = 0;
  await page.exposeFunction("noteState", () => states++);
  await page.evaluate(() => new MutationObserver(() => window.noteState()).observe(document.documentElement, { attributeFilter: ["data-connection"] }));
  network.pointTo(portOf(next));
  await server.stop();
  await showsSome(page, (await shownLines(page)).length + 5);
  await assertComplete(page, speaker);
  assert.ok(states <= 2, "the page had a connection at almost every moment");
});
