// The matchmaking of the example pages: two players form a match, a third waits, and a player without an
// opponent gets another one.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describeExample } from "./examples.mjs";
import { LIMITS } from "./server.mjs";

describeExample("match/", (open) => {
  async function find(name) {
    const page = await open(name);
    await page.getByRole("button", { name: "Find an opponent" }).click();
    return page;
  }

  const status = (page, text) => page.locator("#status").getByText(text, { exact: true }).waitFor();
  const plays = (page, name) => page.locator("#theirs").getByText(name, { exact: true }).waitFor();
  const waits = (page) => status(page, "Waiting for an opponent …");
  const table = (page, name, doing) => page.getByRole("list", { name: "Tables" }).getByRole("listitem")
    .filter({ hasText: name }).getByText(doing);

  /** Marks a cell, and waits until both pages show it. */
  async function mark(page, other, cell, sign) {
    await page.getByRole("button", { name: `Cell ${cell}`, exact: true }).click();
    for (const each of [page, other]) await each.getByRole("button", { name: `Cell ${cell}, ${sign}` }).waitFor();
  }

  test("two players form a match, the third waits, and the fourth joins the third", LIMITS, async () => {
    const ada = await find("Ada");
    await waits(ada);
    const bob = await find("Bob");
    await plays(ada, "Bob");
    await plays(bob, "Ada");

    const cid = await find("Cid");
    await waits(cid);
    await table(cid, "shard-1", "playing").waitFor();
    await table(cid, "shard-2", "waiting").waitFor();

    const dan = await find("Dan");
    await plays(cid, "Dan");
    await plays(dan, "Cid");
    await plays(ada, "Bob");
  });

  test("a round is played to its end, and the other player begins the next", LIMITS, async () => {
    const ada = await find("Ada");
    await waits(ada);
    const bob = await find("Bob");
    await status(ada, "Your turn.");
    await status(bob, "Ada is thinking.");
    assert.equal(await bob.getByRole("button", { name: "Cell 1", exact: true }).isEnabled(), false);

    for (const [cell, reply] of [[1, 4], [2, 5]]) {
      await mark(ada, bob, cell, "X");
      await mark(bob, ada, reply, "O");
    }
    await mark(ada, bob, 3, "X");
    await status(ada, "You won!");
    await status(bob, "Ada won.");
    await bob.locator("#theirs").getByText("X, 1 won").waitFor();

    await bob.getByRole("button", { name: "Play again" }).click();
    await status(bob, "Your turn.");
    await status(ada, "Bob is thinking.");
    await mark(bob, ada, 9, "O");
  });

  test("a player whose opponent leaves gets another one", LIMITS, async () => {
    const ada = await find("Ada");
    await waits(ada);
    const bob = await find("Bob");
    await plays(ada, "Bob");
    const cid = await find("Cid");
    await waits(cid);

    await bob.close();
    await status(ada, "Your opponent left. Waiting for another …");
    await ada.getByRole("button", { name: "Find an opponent" }).click();
    await plays(ada, "Cid");
    await plays(cid, "Ada");
    await ada.getByRole("button", { name: "Leave" }).click();
    await status(ada, "Ready.");
    await status(cid, "Your opponent left. Waiting for another …");
  });
});
