// The chat of the example pages: lines, typing, rooms, and the list of people.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describeExample, person } from "./examples.mjs";
import { LIMITS } from "./server.mjs";

describeExample("chat/", (open) => {
  async function enter(name) {
    const page = await open(name);
    await person(page, name).getByText("you", { exact: true }).waitFor();
    return page;
  }

  const say = (page, text) => page.getByLabel("Message", { exact: true }).fill(text)
    .then(() => page.getByRole("button", { name: "Send" }).click());
  const line = (page, text) => page.getByRole("log").getByText(text, { exact: true });
  /** Types without sending, and waits until the other tab shows it, which it does for three seconds after the first key. */
  const type = (page, text, other, sign) => Promise.all([
    other.getByText(sign).waitFor(),
    page.getByLabel("Message", { exact: true }).pressSequentially(text),
  ]);
  const inRoom = (page, room) => page.locator(`html[data-room="${room}"]`).waitFor({ state: "attached" });

  test("a tab shows that the other one is typing, and then its line", LIMITS, async () => {
    const [ada, bob] = [await enter("Ada"), await enter("Bob")];
    await type(ada, "Hel", bob, "Ada is typing");
    assert.equal(await ada.getByText("is typing").count(), 0, "a tab does not show its own typing");

    await say(ada, "<b>Hello</b>");
    await line(bob, "<b>Hello</b>").waitFor();
    await line(ada, "<b>Hello</b>").waitFor();
    assert.equal(await bob.getByText("is typing").count(), 0, "a line ends the sign");

    await type(bob, "Hm", ada, "Bob is typing");
    await ada.getByText("Bob is typing").waitFor({ state: "detached" });
  });

  test("the list of people follows new tabs, names and closed tabs", LIMITS, async () => {
    const ada = await enter("Ada");
    const bob = await enter("Bob");
    await person(ada, "Bob").first().waitFor();
    await line(ada, "Bob joined").waitFor();

    await bob.getByLabel("Your name").fill("Robert");
    await bob.getByLabel("Your name").press("Enter");
    await line(ada, "Bob is now Robert").waitFor();
    await person(bob, "Robert").getByText("you", { exact: true }).waitFor();

    await bob.close();
    await line(ada, "Robert left").waitFor();
    const people = ada.getByRole("list", { name: "Here now" }).getByRole("listitem");
    assert.deepEqual(await people.locator("bdi").allTextContents(), ["Ada"]);
  });

  test("a room may have any name in the address, also one with a stray percent sign", LIMITS, async () => {
    const [ada, bob] = [await enter("toString"), await enter("Bob")];
    for (const [hash, room] of [["100%", "100%"], ["__proto__", "__proto__"], ["%C3%A4", "ä"]]) {
      for (const page of [ada, bob]) {
        await page.evaluate((hash) => void (location.hash = hash), hash);
        await page.reload();
        await inRoom(page, room);
      }
      await say(ada, `hello ${room}`);
      await line(bob, `hello ${room}`).waitFor();
      assert.deepEqual(await bob.locator("#lines .sender").allTextContents(), ["toString"]);
    }
  });

  test("a line is shown in its room only", LIMITS, async () => {
    const [ada, bob] = [await enter("Ada"), await enter("Bob")];
    await bob.getByRole("button", { name: "#music" }).click();
    await inRoom(bob, "music");
    await line(ada, "Bob left").waitFor();
    await say(ada, "only for the lobby");
    await line(ada, "only for the lobby").waitFor();

    await ada.getByLabel("Another room").fill("music");
    await ada.getByLabel("Another room").press("Enter");
    await inRoom(ada, "music");
    await say(ada, "and this for all who listen");
    await line(bob, "and this for all who listen").waitFor();
    assert.equal(await line(bob, "only for the lobby").count(), 0);
  });
});
