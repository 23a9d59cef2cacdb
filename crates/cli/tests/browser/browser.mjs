// A browser with tabs on the chat of the demo, and the actions of a visitor.

import { chromium } from "playwright-core";

const ARGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** Timeout of a single expectation; the longest reconnect delay is well below it. */
export const PATIENCE_MS = 30_000;

export function launch() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ARGS });
}

/**
 * Opens a browser context and records forbidden events: `complaints` are console errors, console warnings and
 * uncaught exceptions; `requests` are all requested URLs, including WebSockets.
 */
export async function watchedContext(browser, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  const requests = [];
  context.on("request", (request) => requests.push(request.url()));
  context.on("weberror", (error) => complaints.push(String(error.error())));
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  context.on("page", (page) => {
    page.on("websocket", (socket) => requests.push(socket.url()));
  });
  return { context, complaints, requests };
}

/** Opens a tab on the chat under a name, and waits until it is in the room. */
export async function openTab(context, url, { room, name }) {
  const page = await context.newPage();
  // The page stores a chosen name under this key.
  await page.addInitScript((given) => {
    if (sessionStorage.getItem("name") === null) sessionStorage.setItem("name", given);
  }, name);
  await page.goto(`${url}chat/#${encodeURIComponent(room)}`);
  const tab = new Tab(page);
  await tab.inRoom(room);
  await tab.isCalled(name);
  return tab;
}

export class Tab {
  constructor(page) {
    this.page = page;
    this.messageField = page.getByLabel("Message", { exact: true });
    this.messages = page.getByRole("log", { name: "Messages" });
    this.people = page.getByRole("list", { name: "Who is here" });
    this.typing = page.locator("#typing");
    this.frames = page.locator("#frames");
  }

  async inRoom(room) {
    await this.page.locator(`html[data-connection="open"][data-room="${room}"]`).waitFor();
  }

  async rename(name) {
    const field = this.page.getByLabel("Your name");
    await field.fill(name);
    await field.press("Enter");
    await this.isCalled(name);
  }

  async isCalled(name) {
    await this.person(name).getByText("you", { exact: true }).waitFor();
  }

  person(name) {
    return this.people.getByRole("listitem").filter({ hasText: name });
  }

  /** The lines of the conversation with this text. */
  line(text) {
    return this.messages.getByRole("listitem").getByText(text, { exact: true });
  }

  /** The names of the speakers, in order. */
  speakers() {
    return this.messages.locator(".line-who bdi").allTextContents();
  }

  async say(text) {
    await this.messageField.fill(text);
    await this.messageField.press("Enter");
  }

  /** The frames of one direction with `event` in their title. */
  frame(direction, event) {
    return this.frames.locator(`li.${direction}`).filter({ hasText: event });
  }
}
