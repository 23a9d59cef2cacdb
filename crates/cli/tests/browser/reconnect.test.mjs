// The chat of the demo when its server stops. It needs TEST_BINARY, because the test stops the server.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { launch, openTab, watchedContext } from "./browser.mjs";
import { LIMITS, freePort, startServer } from "./server.mjs";

test("both tabs chat again after the server is stopped and started on the same port", LIMITS, async () => {
  const port = await freePort();
  let server = await startServer(port);
  after(() => server.stop());
  const browser = await launch();
  after(() => browser.close());
  const { context } = await watchedContext(browser);
  const room = "restart";
  const ada = await openTab(context, server.url, { room, name: "Ada" });
  const bob = await openTab(context, server.url, { room, name: "Bob" });

  await server.stop();
  for (const { page } of [ada, bob]) {
    await page.getByText(/^Reconnecting in \d+ s$/).first().waitFor();
    assert.equal(await page.getByRole("button", { name: "Send" }).isDisabled(), true);
  }
  await ada.messageField.fill("Are you back?");
  await ada.messageField.press("Enter");
  assert.equal(await ada.messageField.inputValue(), "Are you back?", "an unsent line is kept");

  server = await startServer(port);
  await ada.inRoom(room);
  await bob.inRoom(room);
  await ada.person("Bob").waitFor();
  await bob.person("Ada").waitFor();
  await ada.messageField.press("Enter");
  await bob.line("Are you back?").waitFor();
  await bob.say("Back");
  await ada.line("Back").waitFor();
});
