// The game of the example pages: walking players, the star, and fields for eight.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { WebSocket } from "ws";

import { describeExample } from "./examples.mjs";
import { LIMITS } from "./server.mjs";

describeExample("multiplayer/", (open, url) => {
  const scores = (page) => page.getByRole("list").getByRole("listitem");
  const score = (page, name, points) => scores(page).filter({ hasText: new RegExp(`${name}.*${points}$`) });
  const field = (page) => page.getByRole("application", { name: "Field" });
  const player = (page, name) => page.locator(".player").filter({ hasText: name });

  async function enter(name) {
    const page = await open(name);
    await score(page, name, 0).getByText("you", { exact: true }).waitFor();
    return page;
  }

  /** Clicks a position of the field, and waits until the player has walked there. */
  async function walk(page, name, { x, y }) {
    const box = await field(page).boundingBox();
    await field(page).click({ position: { x: x * box.width, y: y * box.height } });
    await stands(page, name, { x, y });
  }

  async function stands(page, name, { x, y }) {
    await page.waitForFunction(({ name, x, y }) => {
      const player = [...document.querySelectorAll(".player")].find(({ textContent }) => textContent.includes(name));
      const near = (style, part) => Math.abs(parseFloat(style) - 100 * part) < 0.5;
      return player && near(player.style.left, x) && near(player.style.top, y);
    }, { name, x, y });
  }

  async function star(page) {
    const { left, top, number } = await page.locator("#star").evaluate(({ style, dataset }) => {
      return { left: style.left, top: style.top, number: Number(dataset.number) };
    });
    return { x: parseFloat(left) / 100, y: parseFloat(top) / 100, number };
  }

  const starIs = (page, number) => page.locator(`#star[data-number="${number}"]`).waitFor();

  test("players see each other walk by pointer and by keys, and receive greetings", LIMITS, async () => {
    const [ada, bob] = [await enter("Ada"), await enter("Bob")];
    await walk(ada, "Ada", { x: 0.1, y: 0.9 });
    await stands(bob, "Ada", { x: 0.1, y: 0.9 });

    await bob.keyboard.down("ArrowRight");
    await stands(ada, "Bob", { x: 0.97, y: await y(bob, "Bob") });
    await bob.keyboard.up("ArrowRight");
    // It is shown for less than two seconds.
    await Promise.all([player(ada, "Bob").getByText("Hello!").waitFor(), bob.keyboard.press("Space")]);

    await bob.close();
    await player(ada, "Bob").waitFor({ state: "detached" });
    await ada.getByText("1 of 8").waitFor();
  });

  const y = (page, name) => player(page, name).evaluate(({ style }) => parseFloat(style.top) / 100);

  test("the first player at the star gets the point, and a new player sees the current state", LIMITS, async () => {
    const [ada, bob] = [await enter("Ada"), await enter("Bob")];
    const first = await star(ada);
    assert.deepEqual(await star(bob), first, "both see it at the same position");
    await walk(ada, "Ada", first);
    await score(bob, "Ada", 1).waitFor();
    await score(ada, "Ada", 1).waitFor();
    await starIs(bob, first.number + 1);
    await starIs(ada, first.number + 1);
    assert.equal(await score(bob, "Bob", 0).count(), 1);

    const cid = await enter("Cid");
    await stands(cid, "Ada", first);
    await score(cid, "Ada", 1).waitFor();
    await starIs(cid, first.number + 1);
  });

  test("the ninth player gets another field", LIMITS, async () => {
    const peers = [];
    for (let i = 0; i < 8; i += 1) {
      const peer = new WebSocket(`${url().replace("http", "ws")}koji?projectId=example-star&maxConnectionsPerShard=8`);
      await once(peer, "message");
      peers.push(peer);
    }
    const ada = await enter("Ada");
    await ada.getByRole("heading", { name: "shard-2 1 of 8" }).waitFor();
    assert.equal(await player(ada, "").count(), 1);
    for (const peer of peers) peer.terminate();
  });
});
