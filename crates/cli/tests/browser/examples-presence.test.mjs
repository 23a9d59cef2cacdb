// The React app of the example pages: avatars of the users that are online, and direct messages.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describeExample } from "./examples.mjs";
import { LIMITS } from "./server.mjs";

describeExample("presence/", (open) => {
  async function comeIn(name) {
    const page = await open(name);
    await page.getByRole("button", { name: "Log in" }).click();
    await here(page, name).getByText("you").waitFor();
    return page;
  }

  const here = (page, name) => page.getByRole("list", { name: "Online users" }).getByRole("listitem").filter({ hasText: name });
  const write = async (page, name, text) => {
    await here(page, name).getByRole("button").click();
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("log").getByText(text, { exact: true }).waitFor();
  };
  const messages = (page) => page.getByRole("log").getByRole("listitem").allTextContents();

  test("a direct message is shown to its recipient only", LIMITS, async () => {
    const [ada, bob, cid] = [await comeIn("Ada"), await comeIn("Bob"), await comeIn("Cid")];
    await here(ada, "Bob").waitFor();
    await here(ada, "Cid").waitFor();
    await here(cid, "Ada").waitFor();

    await write(ada, "Bob", "for Bob alone");
    await here(bob, "Ada").getByLabel("1 unread").click();
    assert.deepEqual(await messages(bob), ["for Bob alone"]);
    await write(bob, "Ada", "read you");
    await ada.getByRole("log").getByText("read you").waitFor();

    // A message that also reached Cid would arrive before this one.
    await write(ada, "Cid", "for Cid");
    await here(cid, "Ada").getByLabel("1 unread").click();
    assert.deepEqual(await messages(cid), ["for Cid"]);
    assert.equal(await here(cid, "Bob").getByLabel(/unread/).count(), 0);
  });

  test("a user may be called like a property that every object inherits", LIMITS, async () => {
    for (const name of ["constructor", "__proto__"]) {
      const [ada, other] = [await comeIn("Ada"), await comeIn(name)];
      await here(ada, name).waitFor();
      await write(ada, name, "one");
      await here(other, "Ada").getByLabel("1 unread").click();
      await write(other, "Ada", "two");
      await ada.getByRole("log").getByText("two").waitFor();
      assert.deepEqual(await messages(ada), ["one", "two"]);
      for (const page of [ada, other]) await page.close();
    }
  });

  test("a user with two tabs has one avatar, and both tabs receive the message", LIMITS, async () => {
    const [ada, bob, again] = [await comeIn("Ada"), await comeIn("Bob"), await comeIn("Bob")];
    await here(ada, "Bob").getByText("2 tabs").waitFor();
    assert.equal(await here(ada, "Bob").count(), 1);
    await write(ada, "Bob", "to all of you");
    for (const tab of [bob, again]) await here(tab, "Ada").getByLabel("1 unread").waitFor();

    await again.close();
    await here(ada, "2 tabs").waitFor({ state: "detached" });
    await here(ada, "Bob").waitFor();
    await bob.close();
    await here(ada, "Bob").getByText("away").waitFor();
  });

  test("a user that leaves disappears from the list, and a reload keeps the user", LIMITS, async () => {
    const [ada, bob] = [await comeIn("Ada"), await comeIn("Bob")];
    await here(ada, "Bob").waitFor();
    await bob.reload();
    await here(bob, "Bob").getByText("you").waitFor();
    await here(bob, "Ada").waitFor();
    await here(ada, "Bob").waitFor();
    await bob.close();
    await here(ada, "Bob").waitFor({ state: "detached" });
  });
});
