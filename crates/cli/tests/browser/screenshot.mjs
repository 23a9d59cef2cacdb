// Takes a picture of the demo page with two tabs in conversation.
//
//   node screenshot.mjs URL OUT.png [--dark] [--phone] [--wire]
//
// --wire toggles the wire panel: open on a phone, where it starts closed, and closed elsewhere.

import { parseArgs } from "node:util";

import { launch, openTab, watchedContext } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dark: { type: "boolean" },
    phone: { type: "boolean" },
    wire: { type: "boolean" },
  },
});
const [url, out] = positionals;
if (!out) {
  console.error("usage: node screenshot.mjs URL OUT.png [--dark] [--phone] [--wire]");
  process.exit(2);
}

const browser = await launch();
try {
  const { context } = await watchedContext(browser, {
    colorScheme: values.dark ? "dark" : "light",
    deviceScaleFactor: 2,
    viewport: values.phone ? { width: 390, height: 844 } : { width: 1440, height: 860 },
    hasTouch: Boolean(values.phone),
    isMobile: Boolean(values.phone),
  });
  const base = new URL("/", url).href;
  const room = "lobby";
  const ada = await openTab(context, base, { room, name: "Quiet Otter" });
  const bob = await openTab(context, base, { room, name: "Merry Puffin" });
  const talk = [
    [bob, "Is this thing on?"],
    [ada, "Loud and clear. One socket, one frame per line."],
    [bob, "I can see my own words go by on the right"],
    [bob, "↑ for what I sent, ↓ for what came back"],
    [ada, "Open one of them: it is plain JSON.\nNothing up its sleeve."],
  ];
  for (const [speaker, text] of talk) {
    await speaker.say(text);
    for (const tab of [ada, bob]) await tab.line(text).waitFor();
  }
  await bob.messageField.pressSequentially("So if I");
  await ada.page.bringToFront();
  await ada.typing.getByText("Merry Puffin is typing").waitFor();
  if (values.wire) await ada.page.getByRole("button", { name: /^Wire/ }).click();
  if (await ada.frames.isVisible()) {
    await ada.frame("in", "message").last().locator("summary").click();
  }
  await ada.page.screenshot({ path: out, animations: "disabled" });
} finally {
  await browser.close();
}
