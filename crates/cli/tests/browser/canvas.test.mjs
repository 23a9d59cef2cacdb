// The canvas page in a real browser: seats, shards, cursors, ink, waves, and a peer that sends invalid data.
// The setup is that of demo.test.mjs. The last test stops its server, so it needs TEST_BINARY.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { WebSocket } from "ws";

import { launch, watchedContext } from "./browser.mjs";
import { CanvasTab } from "./canvas.mjs";
import { LIMITS, freePort, serverUnderTest, startServer } from "./server.mjs";

const PLATFORM = "@@KOJI_DISPATCH/";

describe("the canvas page", () => {
  let server, browser, board, windows, peers;

  before(async () => {
    server = await serverUnderTest();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  beforeEach(() => {
    // Each test has a sheet of its own, so that tests do not interfere.
    board = `test-${randomUUID().slice(0, 8)}`;
    windows = [];
    peers = [];
  });

  afterEach(async () => {
    for (const peer of peers) peer.socket.terminate();
    for (const { context } of windows) await context.close();
    const complaints = windows.flatMap((window) => window.complaints);
    assert.deepEqual(complaints, [], "the console stayed clean");
    const { host } = new URL(server.url);
    const elsewhere = windows.flatMap(({ requests }) => requests)
      .filter((url) => new URL(url).host !== host);
    assert.deepEqual(elsewhere, [], "no request left the host");
  });

  /** Opens a blank tab in a window of its own, because browsers paint background tabs rarely. */
  async function blank(options) {
    const watched = await watchedContext(browser, options);
    windows.push(watched);
    return watched.context.newPage();
  }

  async function open(name, options) {
    return CanvasTab.open(await blank(options), server.url, { board, name });
  }

  async function sit(name) {
    const peer = await Peer.join(server.url, board);
    peers.push(peer);
    if (name) peer.send(`${PLATFORM}SET_USER_INFO`, { name });
    return peer;
  }

  test("four tabs fill the first shard and the fifth opens another", LIMITS, async () => {
    const tabs = [];
    for (const name of ["Ada", "Bob", "Cid", "Dan", "Eve"]) tabs.push(await open(name));
    const shards = await Promise.all(tabs.map((tab) => tab.shard()));
    assert.deepEqual(shards, ["shard-1", "shard-1", "shard-1", "shard-1", "shard-2"]);

    const [ada, , , , eve] = tabs;
    await ada.page.getByRole("heading", { name: "shard-1 4 of 4" }).waitFor();
    await eve.page.getByRole("heading", { name: "shard-2 1 of 4" }).waitFor();
    for (const name of ["Ada", "Bob", "Cid", "Dan"]) await ada.person(name).waitFor();
    assert.equal(await ada.person("Eve").count(), 0);
    assert.equal(await eve.freeSeats.count(), 3);

    await ada.shardRow("shard-1", "4 of 4").getByText("you are here").waitFor();
    await ada.shardRow("shard-2", "1 of 4").waitFor();
    await eve.shardRow("shard-1", "4 of 4").waitFor();
    await eve.shardRow("shard-2", "1 of 4").getByText("you are here").waitFor();
  });

  test("a cursor, ink and a ripple are shown on the same shard only", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await sit();
    await sit();
    const cid = await open("Cid");
    assert.equal(await cid.shard(), "shard-2");

    await ada.point(0.25, 0.5);
    await bob.cursorAt("Ada", 0.25, 0.5);
    await ada.point(0.6, 0.3);
    await bob.cursorAt("Ada", 0.6, 0.3);

    await Promise.all([
      ada.inkAt(0.6, 0.5),
      bob.inkAt(0.6, 0.5),
      ada.draw([0.6, 0.3], [0.6, 0.7]),
    ]);
    await bob.cursorAt("Ada", 0.6, 0.7);

    await Promise.all([
      bob.rippleAt(0.3, 0.4),
      ada.rippleAt(0.3, 0.4),
      ada.tap(0.3, 0.4),
    ]);

    // Events that leaked to the other shard would arrive before its own ripple.
    await Promise.all([cid.rippleAt(0.5, 0.5), cid.tap(0.5, 0.5)]);
    assert.equal(await cid.cursors.count(), 0);
    const ours = await cid.clientId();
    const strangers = cid.received.filter(({ payload }) => (payload?.__clientId ?? ours) !== ours);
    assert.deepEqual(strangers, []);

    await ada.page.mouse.move(2, 2);
    await bob.cursor("Ada").waitFor({ state: "detached" });
  });

  test("the ink dries up by itself", LIMITS, async () => {
    const ada = await open("Ada");
    const page = await blank();
    await page.clock.install();
    const bob = await CanvasTab.open(page, server.url, { board, name: "Bob" });
    await Promise.all([bob.inkAt(0.5, 0.2), ada.draw([0.2, 0.2], [0.8, 0.2])]);
    await page.clock.runFor(15_000);
    await bob.noInkAt(0.5, 0.2);
  });

  test("a new name and a new colour are shown in the other tabs", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await bob.point(0.5, 0.5);
    await ada.cursor("Bob").waitFor();
    await bob.rename("Robert");
    await ada.person("Robert").waitFor();
    await ada.cursor("Robert").waitFor();
    assert.equal(await ada.person("Bob").count(), 0);

    const colour = await bob.page.locator("#colours input:not(:checked)").first().inputValue();
    await bob.page.locator(`#colours input[value="${colour}"]`).check();
    await bob.point(0.5, 0.5);
    await ada.page.waitForFunction((colour) => {
      const worn = (element) => element?.style.getPropertyValue("--colour");
      return worn(document.querySelector(".cursor")) === colour
        && worn(document.querySelector("button.person .avatar")) === colour;
    }, colour);
  });

  test("each tab has a unique colour, and keeps it and its name after a reload", LIMITS, async () => {
    const tabs = [];
    for (let i = 0; i < 4; i += 1) tabs.push(await open());
    const looks = await Promise.all(tabs.map((tab) => tab.look()));
    assert.equal(new Set(looks.map(({ colour }) => colour)).size, 4);
    for (const { name } of looks) assert.match(name, /^[A-Z][a-z]+ [A-Z][a-z]+$/);

    const [ada] = tabs;
    await ada.page.reload();
    await ada.isConnected();
    assert.deepEqual(await ada.look(), looks[0]);
  });

  test("closing a tab frees its seat and the next tab takes it", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await sit();
    await sit();
    const cid = await open("Cid");
    assert.equal(await cid.shard(), "shard-2");
    await ada.page.getByRole("heading", { name: "4 of 4" }).waitFor();
    assert.equal(await ada.freeSeats.count(), 0);
    await bob.point(0.5, 0.5);
    await ada.cursor("Bob").waitFor();

    await Promise.all([ada.note("Bob left"), bob.page.close()]);
    await ada.page.getByRole("heading", { name: "3 of 4" }).waitFor();
    await ada.freeSeats.waitFor();
    assert.equal(await ada.person("Bob").count(), 0);
    assert.equal(await ada.cursor("Bob").count(), 0);

    const [, dan] = await Promise.all([ada.note("Dan joined"), open("Dan")]);
    assert.equal(await dan.shard(), "shard-1");
    await ada.page.getByRole("heading", { name: "4 of 4" }).waitFor();
  });

  test("a new tab sees cursors that do not move", LIMITS, async () => {
    const ada = await open("Ada");
    await ada.point(0.4, 0.6);
    const bob = await open("Bob");
    await bob.cursorAt("Ada", 0.4, 0.6);
  });

  test("a wave reaches only its recipient", LIMITS, async () => {
    const [ada, bob, cid] = [await open("Ada"), await open("Bob"), await open("Cid")];
    await Promise.all([bob.note("Ada waves to you"), ada.waveTo("Bob")]);
    // With the keyboard: a focused note stays, and a slow pointer could miss it.
    await Promise.all([ada.note("Bob waves to you"), bob.notes.getByRole("button", { name: "Wave back" }).press("Enter")]);
    assert.equal(await bob.notes.getByText("waves").count(), 0, "an answered wave disappears");

    // Messages of one sender keep their order, so a wave would arrive before the ripple.
    await Promise.all([cid.rippleAt(0.3, 0.5), ada.tap(0.3, 0.5)]);
    await Promise.all([cid.rippleAt(0.6, 0.5), bob.tap(0.6, 0.5)]);
    assert.equal(await cid.notes.getByText("waves").count(), 0);
    assert.equal(cid.received.filter(({ eventName }) => eventName === "wave").length, 0);
    assert.equal(ada.received.filter(({ eventName }) => eventName === "wave").length, 1);
  });

  test("the round-trip time and the time in the server are shown", LIMITS, async () => {
    const ada = await open("Ada");
    await ada.page.locator("#round-trip", { hasText: /^\d+(\.\d)? ms$/ }).waitFor();
    await ada.page.locator("#server-latency", { hasText: /^\d+ ms$/ }).waitFor();
    await ada.point(0.2, 0.2, { steps: 30 });
    await ada.page.waitForFunction(() => {
      const points = document.getElementById("graph-line").getAttribute("points");
      return points.split(" ").length >= 2;
    });
  });

  test("the sheet can be used with the keyboard", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await ada.page.getByRole("link", { name: "Skip to the sheet" }).press("Enter");
    await ada.page.keyboard.press("ArrowRight");
    await bob.cursorAt("Ada", 0.52, 0.5);
    await ada.cursorAt("Ada", 0.52, 0.5);
    await Promise.all([bob.rippleAt(0.52, 0.5), ada.page.keyboard.press("Enter")]);
    await ada.page.keyboard.press("Space");
    await ada.page.getByRole("status").getByText("Pen down").waitFor();
    for (let i = 0; i < 5; i += 1) await ada.page.keyboard.press("ArrowDown");
    await bob.inkAt(0.52, 0.55);
    await ada.page.keyboard.press("Space");
    await ada.page.getByRole("status").getByText("Pen up").waitFor();
    await ada.page.keyboard.press("Shift+ArrowLeft");
    await bob.cursorAt("Ada", 0.515, 0.6);
  });

  test("the chat and the canvas link to each other", LIMITS, async () => {
    const page = await blank();
    await page.goto(`${server.url}chat/`);
    await page.getByRole("link", { name: "Draw on the canvas" }).click();
    await page.waitForURL(`${server.url}canvas/`);
    await page.getByRole("link", { name: "chat page" }).click();
    await page.waitForURL(/\/chat\/#lobby$/);
  });

  test("a visitor who leaves is not reconnected until they return", LIMITS, async () => {
    const bob = await open("Bob");
    const page = await blank();
    await page.clock.install();
    const ada = await CanvasTab.open(page, server.url, { board, name: "Ada" });
    const before = await ada.clientId();
    await bob.person("Ada").waitFor();

    await page.getByRole("button", { name: "Leave" }).click();
    await page.getByText("Left", { exact: true }).waitFor();
    await bob.person("Ada").waitFor({ state: "detached" });
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await page.clock.runFor(120_000);
    assert.equal(ada.sockets, 1);
    assert.equal(await page.locator("html").getAttribute("data-connection"), "away");

    await page.getByRole("button", { name: "Rejoin" }).click();
    await ada.isConnected();
    await bob.person("Ada").waitFor();
    assert.notEqual(await ada.clientId(), before);
  });

  test("with reduced motion cursors jump and rings do not move", LIMITS, async () => {
    const ada = await open("Ada");
    const bob = await open("Bob", { reducedMotion: "reduce" });
    await ada.point(0.1, 0.1);
    await bob.cursorAt("Ada", 0.1, 0.1);
    await bob.page.evaluate(watchCursor);
    await ada.point(0.9, 0.9);
    await bob.cursorAt("Ada", 0.9, 0.9);
    assert.equal(await bob.page.evaluate(() => window.cursorPlaces.size), 1, "one jump");

    // Checked in the frame that shows it, because it disappears soon.
    const [animation] = await Promise.all([
      bob.page.waitForFunction(() => {
        const ring = document.querySelector(".ripple i");
        return ring && getComputedStyle(ring).animationName;
      }),
      ada.tap(0.5, 0.5),
    ]);
    assert.equal(await animation.jsonValue(), "none");
    await bob.page.locator(".ripple").waitFor({ state: "detached" });
  });

  test("invalid data of a peer does not affect the page", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    const adaId = await ada.clientId();
    const mallory = await sit();
    // Events of a client that is not on the list yet are not shown.
    for (const { page } of [ada, bob]) await page.getByRole("heading", { name: "3 of 4" }).waitFor();
    for (const frame of garbageFrames()) mallory.socket.send(frame);
    for (const info of garbageInfos()) mallory.send(`${PLATFORM}SET_USER_INFO`, info);
    for (const payload of garbagePayloads()) {
      for (const name of ["cursor", "stroke", "ripple", "wave", "ping", "toString"]) {
        mallory.send(name, payload);
      }
    }
    mallory.send(`${PLATFORM}CONNECTED`, { clientId: "forged", shardName: "forged" });
    mallory.send(`${PLATFORM}CONNECTED_CLIENTS_CHANGED`, { connectedClients: {} });
    for (let i = 0; i < 200; i += 1) mallory.send("ripple", { x: i / 200, y: 0.1 });
    mallory.send("stroke", { stroke: 7, points: [[-9, 1e300], [0.9, 0.9], ["x"], [1e300, 0.9]] });

    // A client that claims another name is shown under its own.
    const html = `<img src=x onerror="document.title='broken in'">`;
    mallory.send(`${PLATFORM}SET_USER_INFO`, { name: html, colour: "red;--x:url(//example.org)" });
    mallory.send("cursor", { x: 0.5, y: 0.25, __clientId: adaId, clientId: adaId });
    for (const tab of [ada, bob]) {
      await tab.cursorAt("<img src=x", 0.5, 0.25);
      await tab.person("<img src=x").waitFor();
      assert.equal(await tab.cursor("Ada").count(), 0);
      assert.ok(await tab.page.locator(".ripple").count() <= 16, "a flood is limited");
    }

    // A name in the wrong field, or of invisible characters only, is ignored.
    for (const name of [{ not: "a name" }, "\u200b\u202e \u2800"]) {
      mallory.send(`${PLATFORM}SET_USER_INFO`, { name });
      await ada.person("Someone").waitFor();
      mallory.send(`${PLATFORM}SET_USER_INFO`, { name: "Z".repeat(10_000) });
      await ada.person("Z".repeat(24)).waitFor();
    }

    await Promise.all([bob.rippleAt(0.3, 0.3), ada.tap(0.3, 0.3)]);
    await bob.point(0.7, 0.7);
    await ada.cursorAt("Bob", 0.7, 0.7);
    await Promise.all([bob.note("Ada waves to you"), ada.waveTo("Bob")]);
    for (const { page } of [ada, bob]) {
      assert.equal(await page.locator("img, body script").count(), 0);
      assert.doesNotMatch(await page.title(), /broken in/);
      assert.equal(await page.locator("html").getAttribute("data-shard"), "shard-1");
    }
    assert.deepEqual([ada.sockets, bob.sockets], [1, 1], "no client was disconnected");
  });
});

test("after the server is stopped and started on the same port the page is connected again", {
  ...LIMITS,
  skip: process.env.TEST_BINARY ? false : "needs TEST_BINARY",
}, async () => {
  const port = await freePort();
  let server = await startServer(port);
  after(() => server.stop());
  const browser = await launch();
  after(() => browser.close());
  const open = async (name) => {
    const { context } = await watchedContext(browser);
    return CanvasTab.open(await context.newPage(), server.url, { board: "restart", name });
  };
  const [ada, bob] = [await open("Ada"), await open("Bob")];
  const before = await ada.clientId();

  await server.stop();
  for (const { page } of [ada, bob]) {
    await page.getByText(/^Reconnecting in \d+ s$/).waitFor();
  }
  server = await startServer(port);
  await ada.isConnected();
  await bob.isConnected();
  await ada.person("Bob").waitFor();
  await bob.person("Ada").waitFor();
  assert.notEqual(await ada.clientId(), before);
  await Promise.all([bob.rippleAt(0.5, 0.5), ada.tap(0.5, 0.5)]);
});

/** Runs in the page: records every position of the only cursor from now on. */
function watchCursor() {
  window.cursorPlaces = new Set();
  const cursor = document.querySelector(".cursor");
  const before = cursor.style.transform;
  new MutationObserver(() => {
    if (cursor.style.transform !== before) window.cursorPlaces.add(cursor.style.transform);
  }).observe(cursor, { attributeFilter: ["style"] });
}

/** A Koji client other than the page. */
class Peer {
  /** Takes a seat on the board, as the page does. */
  static async join(url, board) {
    const query = `projectId=canvas-${board}&maxConnectionsPerShard=4`;
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}koji?${query}`);
    const [frame] = await once(socket, "message");
    assert.equal(JSON.parse(frame).eventName, `${PLATFORM}CONNECTED`);
    return new Peer(socket);
  }

  constructor(socket) {
    this.socket = socket;
    socket.on("error", () => {});
  }

  send(eventName, payload) {
    this.socket.send(JSON.stringify({ eventName, payload }));
  }
}

function garbageFrames() {
  return [
    "", "{", "null", "[]", "5", `"text"`, "{}", `{"eventName":5}`, `{"eventName":""}`,
    `{"eventName":"cursor"`, `{"eventName":"cursor","payload":{"__proto__":{"x":1,"y":1}}}`,
    `{"eventName":"wave","recipients":5}`, `{"eventName":"wave","recipients":[null,{},[]]}`,
    Buffer.from([0, 159, 146, 150]),
  ];
}

function garbageInfos() {
  return [
    null, 5, "text", ["list"], {}, { name: null, colour: null }, { name: 5, colour: 5 },
    { name: ["a"], colour: { toString: "x" } }, { name: { toString: 5 }, colour: "#12" },
    { name: "Z\u0337\u0300\u0301\u0302".repeat(900), colour: "#gggggg" },
    { name: "\u202egnihton\u2066\0\n\t", colour: "url(//example.org/)" },
  ];
}

function garbagePayloads() {
  const many = Array.from({ length: 5000 }, (_, i) => [i / 5000, 0.5]);
  return [
    undefined, null, 5, "text", true, ["list"], {}, { x: null, y: null }, { x: "0.5", y: "0.5" },
    { x: {}, y: [] }, { x: 1e308, y: -1e308 }, { x: 0.5 }, { gone: "yes" }, { n: "x" }, { n: -1 },
    { stroke: 1 }, { stroke: "1", points: [[0, 0]] }, { stroke: 1.5, points: [[0, 0]] },
    { stroke: 1, points: "0,0" }, { stroke: 1, points: { length: 1e9 } }, { stroke: 1, points: [] },
    { stroke: 1, points: [null, 5, "x", {}, [], [1], ["a", "b"], [null, null]] },
    { stroke: 2, points: many }, { stroke: 3, points: [[[[[]]]]] },
  ];
}
