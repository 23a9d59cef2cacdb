// Shared by the tests of the example pages: a server, a browser, and windows without errors.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe } from "node:test";

import { launch, watchedContext } from "./browser.mjs";
import { startServer } from "./server.mjs";

/**
 * Describes the page at `/examples/<path>`. `tests` gets a function that opens the page in a new window under a
 * name, and a function that returns the server's address.
 *
 * Each test has a server of its own, so that tests do not interfere.
 */
export function describeExample(path, tests) {
  describe(`the example page ${path || "index"}`, () => {
    let server, browser, windows;

    before(async () => {
      browser = await launch();
    });

    after(() => browser?.close());

    beforeEach(async () => {
      windows = [];
      server = await startServer();
    });

    afterEach(async () => {
      for (const { context } of windows) await context.close();
      await server.stop();
      assert.deepEqual(windows.flatMap(({ complaints }) => complaints), [], "the console stayed clean");
      const { host } = new URL(server.url);
      const elsewhere = windows.flatMap(({ requests }) => requests).filter((url) => new URL(url).host !== host);
      assert.deepEqual(elsewhere, [], "no request left the host");
    });

    async function open(name, options) {
      // A window for each, because browsers paint background tabs rarely.
      const watched = await watchedContext(browser, options);
      windows.push(watched);
      const page = await watched.context.newPage();
      await page.addInitScript((name) => sessionStorage.getItem("name") ?? sessionStorage.setItem("name", name), name);
      const answer = await page.goto(`${server.url}examples/${path}`);
      assert.equal(answer.status(), 200, await answer.text());
      return page;
    }

    tests(open, () => server.url);
  });
}

/** The row of a person in the list of people. */
export function person(page, name) {
  return page.getByRole("listitem").filter({ hasText: name });
}
