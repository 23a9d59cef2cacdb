// The example pages during a restart of the server: each identifies itself again.

import { test } from "node:test";

import { launch, watchedContext } from "./browser.mjs";
import { LIMITS, freePort, startServer } from "./server.mjs";

test("after a restart of the server the example pages are in their previous state", LIMITS, async () => {
  const port = await freePort();
  let server = await startServer(port);
  const browser = await launch();
  try {
    const open = async (path, name) => {
      const { context } = await watchedContext(browser);
      const page = await context.newPage();
      await page.addInitScript((name) => sessionStorage.setItem("name", name), name);
      await page.goto(`${server.url}examples/${path}`);
      return page;
    };
    const both = async (path, ready) => {
      const pages = [await open(path, "Ada"), await open(path, "Bob")];
      for (const page of pages) await ready(page);
      return pages;
    };
    const [ada, bob] = await both("chat/", (page) => page.getByRole("heading", { name: "Here now 2" }).waitFor());
    const players = await both("multiplayer/", (page) => page.getByText("2 of 8").waitFor());
    const [, user] = await both("presence/", (page) => page.getByRole("button", { name: "Log in" }).click());
    await user.getByRole("button", { name: "Ada" }).click();

    await server.stop();
    const all = async (state) => {
      for (const page of [ada, bob, ...players, user]) {
        await page.locator(`html[data-connection="${state}"]`).waitFor({ state: "attached" });
      }
    };
    await all("reconnecting");
    // A line sent meanwhile is kept, and sent after the identification.
    await ada.getByLabel("Message", { exact: true }).fill("said while you were away");
    await ada.getByRole("button", { name: "Send" }).click();
    server = await startServer(port);
    await all("connected");

    await ada.getByRole("log").getByText("said while you were away").waitFor();
    for (const page of [ada, bob]) await page.getByRole("heading", { name: "Here now 2" }).waitFor();
    for (const page of players) await page.getByText("2 of 8").waitFor();
    for (const name of ["Ada", "Bob"]) {
      await players[0].locator(".player").getByText(name, { exact: true }).waitFor();
    }
    await user.getByRole("listitem").filter({ hasText: "Ada" }).locator(".is-here").waitFor();
    await user.getByLabel("Message", { exact: true }).fill("back again");
    await user.getByRole("button", { name: "Send" }).click();
    await user.getByRole("log").getByText("back again").waitFor();
  } finally {
    await browser.close();
    await server.stop();
  }
});
