// The index of the example pages: every link works, with and without scripts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describeExample } from "./examples.mjs";
import { LIMITS } from "./server.mjs";

describeExample("", (open) => {
  test("every link leads to a page or to a readable source", LIMITS, async () => {
    const page = await open("Ada", { javaScriptEnabled: false });
    const links = await page.getByRole("link").evaluateAll((links) => links.map(({ href }) => href));
    assert.ok(links.length >= 10, `${links}`);
    for (const link of links) {
      const answer = await page.request.get(link);
      assert.equal(answer.status(), 200, link);
      const kind = link.endsWith(".txt") ? "text/plain; charset=utf-8" : "text/html; charset=utf-8";
      assert.equal(answer.headers()["content-type"], kind, link);
    }
  });

  test("no example scrolls sideways on any width", LIMITS, async () => {
    const page = await open("Ada");
    const links = await page.getByRole("link").evaluateAll((links) => links.map(({ href }) => href));
    const pages = links.filter((link) => link.includes("/examples/") && !link.endsWith(".txt"));
    assert.ok(pages.length >= 5, `${links}`);
    for (const link of [page.url(), ...pages]) {
      await page.goto(link);
      for (const width of [320, 390, 700, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${link} at ${width}: ${overflow}`);
      }
    }
  });

  test("a card shows the number of people in its example, and links to it", LIMITS, async () => {
    const page = await open("Ada");
    assert.equal(await page.getByText("here now").count(), 0);
    const other = await open("Bob");
    await other.getByRole("link", { name: "Catch the star" }).click();
    await other.getByText("1 of 8").waitFor();
    await page.getByRole("listitem").filter({ hasText: "Catch the star" }).getByText("1 here now").waitFor();
  });
});
