// The chat of the demo in a real browser. Run with `npm ci && npm test` here, after setting
//   TEST_BINARY  the switchboard binary, which is started on a free port, or
//   TEST_URL     the address of a running demo (then `npm run test:running`)
//   CHROMIUM     the browser, if it is not /usr/bin/chromium

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Tab, launch, openTab, watchedContext } from "./browser.mjs";
import { LIMITS, serverUnderTest } from "./server.mjs";

describe("the chat of the demo", () => {
  let server, browser, watched, room;

  before(async () => {
    server = await serverUnderTest();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  beforeEach(async () => {
    watched = await watchedContext(browser);
    // Each test has a room of its own, so that tests do not interfere.
    room = `test-${randomUUID().slice(0, 8)}`;
  });

  afterEach(async () => {
    await watched.context.close();
    assert.deepEqual(watched.complaints, [], "the console stayed clean");
    const { host } = new URL(server.url);
    const elsewhere = watched.requests.filter((url) => new URL(url).host !== host);
    assert.deepEqual(elsewhere, [], "no request left the host");
  });

  const open = (name) => openTab(watched.context, server.url, { room, name });

  test("two tabs chat and each shows the other's line", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await ada.say("Hello from Ada");
    await bob.line("Hello from Ada").waitFor();
    await bob.say("And one from Bob");
    for (const tab of [ada, bob]) await tab.line("And one from Bob").waitFor();

    assert.deepEqual(await ada.speakers(), ["You", "Bob"]);
    assert.deepEqual(await bob.speakers(), ["Ada", "You"]);
    assert.equal(await ada.messageField.inputValue(), "", "a sent line leaves the field");
  });

  test("a tab shows that the other one is typing, and that it stopped", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    const seen = () => bob.typing.getByText("Ada is typing").waitFor();
    // The sign is shown for three seconds, so waiting starts before the last key.
    await Promise.all([seen(), ada.messageField.pressSequentially("Hm")]);
    // Ada pauses: nothing more is sent, and the sign disappears by itself.
    await bob.typing.getByText("Ada is typing").waitFor({ state: "detached" });

    await Promise.all([seen(), ada.messageField.pressSequentially("m")]);
    await ada.messageField.press("Enter");
    await bob.line("Hmm").waitFor();
    assert.equal(await bob.typing.textContent(), "", "a sent line ends the sign at once");
    assert.equal(await ada.typing.textContent(), "", "a tab does not show its own typing");
  });

  test("the list of people has both names, and drops the one whose tab is closed", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await ada.person("Bob").waitFor();
    await bob.person("Ada").waitFor();
    await ada.page.getByText("2 here").waitFor();

    await bob.page.close();
    await ada.person("Bob").waitFor({ state: "detached" });
    await ada.messages.getByText("Bob left").waitFor();
    await ada.page.getByText("1 here").waitFor();
  });

  test("a new name and another room reach the other tab", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await bob.rename("Robert");
    await ada.person("Robert").waitFor();
    await ada.messages.getByText("Bob is now Robert").waitFor();

    const elsewhere = `${room} & more`;
    await bob.page.getByLabel("Room").fill(elsewhere);
    await bob.page.getByLabel("Room").press("Enter");
    await bob.inRoom(elsewhere);
    await ada.person("Robert").waitFor({ state: "detached" });
    assert.equal(new URL(bob.page.url()).hash, `#${encodeURIComponent(elsewhere)}`);

    await bob.page.reload();
    await bob.inRoom(elsewhere);
    await bob.isCalled("Robert");
  });

  test("the frames panel shows the frames of both directions", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await ada.say("Over the wire");
    await bob.line("Over the wire").waitFor();
    await ada.frame("out", "/message").getByText('"Over the wire"').waitFor();
    await ada.frame("in", "message").getByText('"Over the wire"').waitFor();
    await bob.frame("in", "message").getByText('"Over the wire"').waitFor();
    assert.equal(await bob.frame("out", "/message").count(), 0);
    await ada.frame("in", "reply /join").first().waitFor();

    const sent = ada.frame("out", "/message");
    await sent.locator("summary").click();
    const json = { event: "/message", data: { room, text: "Over the wire" } };
    assert.equal(await sent.locator("pre").textContent(), JSON.stringify(json, null, 2));
    const bytes = JSON.stringify(json).length;
    assert.match(await sent.locator("summary").textContent(), new RegExp(`[^0-9]${bytes} B`));
  });

  test("a paused frames panel does not change, catches up, and can be cleared", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await ada.page.getByRole("button", { name: "Pause" }).click();
    const before = await ada.frames.getByRole("listitem").count();
    await bob.say("While you looked away");
    await ada.line("While you looked away").waitFor();
    assert.equal(await ada.frames.getByRole("listitem").count(), before);

    await ada.page.getByRole("button", { name: /^Resume/ }).click();
    await ada.frame("in", "message").getByText("While you looked away").waitFor();
    await ada.page.getByRole("button", { name: "Clear" }).click();
    assert.equal(await ada.frames.getByRole("listitem").count(), 0);
  });

  test("people and rooms that are called like members of every object are like any others", LIMITS, async () => {
    const names = [[room, "__proto__", "constructor"], ["__proto__", "hasOwnProperty", "toString"]];
    for (const [named, first, second] of names) {
      room = named;
      const [ada, bob] = [await open(first), await open(second)];
      await ada.person(second).waitFor();
      await bob.person(first).waitFor();
      await ada.page.getByText("2 here").waitFor();
      const seen = bob.typing.getByText(`${first} is typing`).waitFor();
      await Promise.all([seen, ada.messageField.pressSequentially("Hm")]);
      await ada.messageField.press("Enter");
      await bob.line("Hm").waitFor();
      await bob.say("Hm yes");
      await ada.line("Hm yes").waitFor();
      assert.deepEqual(await ada.speakers(), ["You", second]);
      assert.deepEqual(await bob.speakers(), [first, "You"]);
      await bob.rename("valueOf");
      await ada.messages.getByText(`${second} is now valueOf`).waitFor();
      await bob.page.close();
      await ada.person("valueOf").waitFor({ state: "detached" });
      await ada.page.close();
    }
  });

  test("a message with HTML is shown as text", LIMITS, async () => {
    const html = `<img src=x onerror="document.title='broken in'"><script>alert(1)</script>`;
    const [ada, bob] = [await open("Ada"), await open("<b>Bob</b>")];
    await bob.say(html);
    await ada.line(html).waitFor();
    await ada.messages.getByText("<b>Bob</b>", { exact: true }).waitFor();
    await ada.person("<b>Bob</b>").waitFor();
    await ada.frame("in", "message").locator("summary").click();
    await ada.frame("in", "message").locator("pre").getByText("onerror").waitFor();

    for (const tab of [ada, bob]) {
      assert.equal(await tab.page.locator("img, body script, b").count(), 0);
      assert.doesNotMatch(await tab.page.title(), /broken in/);
    }
  });

  test("long lists keep their newest 500 lines and 500 frames", LIMITS, async () => {
    const ada = await open("Ada");
    await ada.page.evaluate(sayMany, { room, count: 620 });
    await ada.line("line 620").waitFor();
    // The panel shows all sockets of the page, so the last message is there twice.
    await ada.frame("in", "message").getByText('"line 620"').last().waitFor();
    assert.equal(await ada.messages.getByRole("listitem").count(), 500);
    assert.equal(await ada.frames.getByRole("listitem").count(), 500);
    assert.equal(await ada.line("line 100").count(), 0);
  });

  test("a list that is scrolled up keeps its position until the button for the newest line is used", LIMITS, async () => {
    const [ada, bob] = [await open("Ada"), await open("Bob")];
    await ada.page.evaluate(sayMany, { room, count: 60 });
    // The list scrolls to its end with the next painted frame, which may be after the line is in the page.
    await ada.page.waitForFunction(() => {
      const { scrollTop, clientHeight, scrollHeight } = document.getElementById("talk-scroller");
      return document.getElementById("lines").lastElementChild?.textContent.endsWith("line 60")
        && scrollTop > 0 && scrollTop + clientHeight >= scrollHeight - 1;
    });
    const newest = ada.page.getByRole("button", { name: "New messages below" });
    assert.equal(await newest.isVisible(), false);

    await ada.line("line 1").scrollIntoViewIfNeeded();
    await bob.say("Down here");
    await newest.waitFor();
    assert.equal(await inView(ada.line("line 1")), true);
    await newest.click();
    await newest.waitFor({ state: "hidden" });
    assert.equal(await inView(ada.line("Down here")), true, "the button scrolls to the newest line");
  });

  test("the ws parameter selects another path of the same host, and never another host", LIMITS, async () => {
    const page = await watched.context.newPage();
    for (const [ws, path] of [["/a/b?c=d", "/a/b"], ["//example.org/e", "/example.org/e"]]) {
      await page.goto(`${server.url}chat/?ws=${encodeURIComponent(ws)}#${room}`);
      const tab = new Tab(page);
      await tab.inRoom(room);
      await tab.frame("in", "reply /whoami").locator("summary").click();
      const reply = JSON.parse(await tab.frame("in", "reply /whoami").locator("pre").textContent());
      assert.equal(reply.data.path, path);
    }
  });

  test("Escape closes the frames panel and leaves the focus on its button", LIMITS, async () => {
    const ada = await open("Ada");
    const toggle = ada.page.getByRole("button", { name: /^Wire/ });
    await ada.page.getByRole("button", { name: "Pause" }).press("Escape");
    await ada.frames.waitFor({ state: "hidden" });
    assert.equal(await toggle.getAttribute("aria-expanded"), "false");
    await ada.page.keyboard.press("Enter");
    await ada.page.getByRole("button", { name: "Pause" }).waitFor();
  });

  test("invalid data of a peer does not affect the page", LIMITS, async () => {
    const ada = await open("Ada");
    await ada.page.evaluate(sayNonsense, { room });
    await ada.line("still here").waitFor();
    assert.ok((await ada.speakers()).includes("Someone"));
  });

  test("the header shows the round trip and links to the same room", LIMITS, async () => {
    const ada = await open("Ada");
    await ada.page.getByText("Connected", { exact: true }).first().waitFor();
    await ada.page.locator("#line-detail").getByText(/^\d+(\.\d)? ms$/).waitFor();

    const opened = watched.context.waitForEvent("page");
    await ada.page.getByRole("link", { name: "Open another tab" }).first().click();
    await ada.page.getByText("2 here").waitFor();
    const other = await opened;
    assert.equal(new URL(other.url()).hash, `#${room}`);
    assert.notEqual(await other.getByLabel("Your name").inputValue(), "Ada");
  });
});

function inView(locator) {
  return locator.evaluate((element) => {
    const box = element.getBoundingClientRect();
    const frame = document.getElementById("talk-scroller").getBoundingClientRect();
    return box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
  });
}

// Both run in the page, as a client that does not use the page's code.

function sayMany({ room, count }) {
  const socket = new WebSocket(`ws://${location.host}/`);
  const send = (event, data) => socket.send(JSON.stringify({ event, data }));
  socket.onopen = () => {
    send("/join", { room, username: "Chatterbox" });
    for (let i = 1; i <= count; i++) send("/message", { room, text: `line ${i}` });
  };
}

function sayNonsense({ room }) {
  const socket = new WebSocket(`ws://${location.host}/`);
  const send = (event, data) => socket.send(JSON.stringify({ event, data }));
  socket.onopen = () => {
    send("/join", { room, username: { not: "a name" } });
    send("/join", { room });
    for (const text of [undefined, null, 5, ["a"], { deep: { er: 1 } }, "x".repeat(20_000)]) {
      send("/message", { room, text });
    }
    send("/message", { room, text: "still here" });
  };
}
