// The console: every page with a server that has connections, rooms, users and a webhook that fails.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";
import WebSocket from "ws";

import { launch, watchedContext } from "./browser.mjs";
import { LIMITS, freePort, startServe } from "./server.mjs";

const MANAGE = "the key of an operator, long enough";
const READ = "the key of a reader, also long enough";
const SEND = "the key of a sender, also long enough";
const SHOP = "the key of a project, long enough too";

/** Names that a stranger controls, each an attempt to become HTML. */
const EVIL = '<img src=x onerror="window.hacked=1">';

describe("the console", () => {
  let browser, server, endpoint, api, url, watched, page;
  const sockets = [];

  before(async () => {
    browser = await launch();
    // An endpoint that refuses everything, with a reason that is an attempt, too.
    endpoint = createServer((_, answer) => answer.writeHead(503, EVIL.replaceAll(/[<>"]/g, "")).end()).listen(0, "127.0.0.1");
    api = `127.0.0.1:${await freePort()}`;
    url = `http://${api}/console/`;
    const key = (name, secret, scopes, more = []) => [
      `api.named_keys.${name}.keys=${secret}`, `api.named_keys.${name}.scopes=${JSON.stringify(scopes)}`, ...more,
    ];
    server = await startServe([
      `api.listen=${api}`,
      ...key("operator", MANAGE, ["read", "send", "manage"]),
      ...key("reader", READ, ["read"]),
      ...key("sender", SEND, ["send"]),
      ...key("shop", SHOP, ["read"], ['api.named_keys.shop.projects=["shop"]']),
      "history.rooms.lobby.messages_max=100",
      "projects.every.can={ \"#*\" = \"jshp\", \"shard:*\" = \"jshp\" }",
      "access=open",
      `hooks.endpoints.shop.url=http://127.0.0.1:${endpoint.address().port}/`,
      "hooks.endpoints.shop.secrets=whsec_c2VjcmV0IG9mIHRoaXMgdGVzdCwgbG9uZyBlbm91Z2g=",
      "hooks.endpoints.shop.events=[\"joined\"]",
      "hooks.endpoints.shop.allow_private=true",
    ]);
    for (let at = 0; at < 3; at += 1) sockets.push(await connect(server.url.replace("http", "ws")));
    await call("send", { event: EVIL, data: { text: EVIL }, to: { rooms: ["lobby"] } });
    for (const room of ["lobby", EVIL]) await call("join", { to: { everyone: true }, room });
    await call("tag", { to: { everyone: true }, tag: EVIL });
    sockets.push(await connect(`${server.url.replace("http", "ws")}?projectId=default&shardName=${encodeURIComponent(EVIL)}`));
  });

  after(async () => {
    for (const socket of sockets) socket.terminate();
    await browser?.close();
    await server?.stop();
    endpoint?.close();
  });

  beforeEach(async () => {
    watched = await watchedContext(browser);
    page = await watched.context.newPage();
  });

  afterEach(async () => {
    assert.equal(await page.evaluate(() => window.hacked), undefined, "no name became HTML");
    await watched.context.close();
    // A status that the page explains is a line in the browser's console, too.
    const complaints = watched.complaints.filter((text) => !/the server responded with a status of (400|401|403)/.test(text));
    assert.deepEqual(complaints, [], "the console stayed clean");
  });

  async function call(endpointName, body) {
    const answer = await fetch(`http://${api}/api/v1/${endpointName}`, {
      method: "POST", headers: { authorization: `Bearer ${MANAGE}` }, body: JSON.stringify(body),
    });
    assert.equal(answer.status, 200, `${endpointName}: ${await answer.clone().text()}`);
    return answer.json();
  }

  async function signIn(key, hash = "") {
    await page.goto(`${url}${hash}`);
    await page.getByLabel("Key of the HTTP API").fill(key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("navigation", { name: "Pages" }).waitFor({ state: "attached" });
  }

  const open = (name) => page.getByRole("link", { name, exact: true }).click();
  const heading = (name) => page.getByRole("heading", { level: 1, name, exact: true }).waitFor();

  test("a wrong key and one that may only send are refused with the reason", LIMITS, async () => {
    await page.goto(url);
    for (const [key, reason] of [["wrong wrong wrong wrong", "This key is unknown."], [SEND, "the scope read or manage"]]) {
      await page.getByLabel("Key of the HTTP API").fill(key);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("alert").filter({ hasText: reason }).waitFor();
    }
    assert.deepEqual(await watched.context.cookies(), []);
  });

  test("the session survives a reload and ends with the sign-out, and no script can read its cookie", LIMITS, async () => {
    await signIn(READ);
    await page.reload();
    await heading("Overview");
    const [cookie] = await watched.context.cookies();
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
    assert.equal(await page.evaluate(() => document.cookie), "");
    assert.ok(!JSON.stringify(await page.evaluate(() => ({ ...localStorage, ...sessionStorage }))).includes("key"));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    // The cookie of before opens nothing.
    await watched.context.addCookies([cookie]);
    await page.reload();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
  });

  test("a page of another port of the same host cannot use the session", LIMITS, async () => {
    await signIn(MANAGE);
    const stranger = createServer((_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end("<p>stranger</p>"));
    await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve));
    const other = await watched.context.newPage();
    await other.goto(`http://127.0.0.1:${stranger.address().port}/`);
    const statuses = await other.evaluate(async (address) => {
      const attempt = async (options) => {
        try {
          return (await fetch(address, { method: "POST", credentials: "include", ...options })).status;
        } catch {
          return "refused by the browser";
        }
      };
      return [
        await attempt({ mode: "no-cors", body: "{}" }),
        await attempt({ headers: { "x-switchboard-console": "1" }, body: "{}" }),
      ];
    }, `http://${api}/api/v1/reload`);
    stranger.close();
    // Without CORS a page sees no status; the server refuses the request, whose header is missing.
    assert.deepEqual(statuses, [0, "refused by the browser"]);
    const metrics = await (await fetch(`${server.url}metrics`)).text();
    assert.match(metrics, /switchboard_settings_reloads_total\{outcome="applied"\} 0/);
    watched.complaints.splice(0, Infinity, ...watched.complaints.filter((text) => !/CORS|ERR_FAILED/.test(text)));
  });

  test("every page can be read with an assistive program, in light and dark and on a phone", LIMITS, async () => {
    await signIn(MANAGE);
    const socket = (await (await page.request.get(`http://${api}/api/v1/sockets`, { headers: { authorization: `Bearer ${MANAGE}` } })).json())
      .sockets[0].socket;
    const pages = [
      ["overview", "Overview"], ["nodes", "Nodes"], ["connections", "Connections"], [`connection/${socket}`, "Connection"],
      ["rooms", "Rooms and users"], ["rooms?kind=shards", "Rooms and users"], ["rooms?kind=users", "Rooms and users"],
      [`room/${encodeURIComponent("#lobby")}`, "#lobby"], ["user/ann", "ann"], ["hooks", "Webhooks"],
      ["explain", "Explain"], ["explain?to=%23lobby", "Explain"], ["explain?kind=traces", "Explain"],
      ["try", "Try"], ["try?kind=request", "Try"], ["try?kind=token", "Try"], ["settings", "Settings"],
    ];
    for (const [colorScheme, width] of [["light", 1280], ["dark", 390]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      for (const [hash, title] of pages) {
        await page.goto(`${url}#/${hash}`);
        await heading(title);
        await page.getByText("Loading …").first().waitFor({ state: "detached" });
        const { violations } = await new AxeBuilder({ page }).analyze();
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
        assert.deepEqual(found, [], `${hash} ${colorScheme} ${width}`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${hash} at ${width}: ${overflow} px too wide`);
      }
    }
  });

  test("the overview shows the connections within two samples", LIMITS, async () => {
    await signIn(READ);
    const connections = page.locator(".kpis > div").filter({ hasText: "Connections" }).locator("dd");
    await page.waitForFunction((node) => node?.textContent === "4", await connections.elementHandle({ timeout: 20_000 }));
    await page.getByRole("region", { name: "Connections", exact: true }).locator("canvas").waitFor();
  });

  test("names of strangers are text on every page", LIMITS, async () => {
    await signIn(MANAGE, `#/rooms`);
    await page.getByRole("link", { name: `#${EVIL}` }).first().click();
    await heading(`#${EVIL}`);
    await page.goto(`${url}#/room/${encodeURIComponent("#lobby")}`);
    await page.getByRole("region", { name: "Latest messages" }).getByText(EVIL).first().waitFor();
    await page.goto(`${url}#/connections`);
    await page.getByRole("region", { name: "Connections" }).getByRole("link").first().click();
    await heading("Connection");
    await page.getByText(`*${EVIL}`).or(page.getByText(`#${EVIL}`)).first().waitFor();
    await page.goto(`${url}#/user/${encodeURIComponent(EVIL)}`);
    await heading(EVIL);
    await page.goto(`${url}#/hooks`);
    await page.getByRole("region", { name: "Endpoints" }).getByText("503").waitFor();
    await page.goto(`${url}#/${encodeURIComponent(EVIL)}?a=${encodeURIComponent(EVIL)}`);
    await heading("Overview");
  });

  test("a connection is found by its room and closed with a reason, by keyboard alone", LIMITS, async () => {
    const closing = sockets[0];
    const closed = new Promise((resolve) => closing.once("close", (code, reason) => resolve([code, String(reason)])));
    closing.send('{"event":"/join","data":{"room":"single"},"ackId":1}');
    await new Promise((resolve) => closing.once("message", resolve));
    await signIn(MANAGE, "#/connections?room=single");
    await page.getByText("1 match").waitFor();
    await page.getByRole("region", { name: "Connections" }).getByRole("link").first().focus();
    await page.keyboard.press("Enter");
    await heading("Connection");
    await page.getByLabel("Code").focus();
    await page.keyboard.press("Control+A");
    await page.keyboard.type("4003");
    await page.keyboard.press("Tab");
    await page.keyboard.type("tested");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("group", { name: "Close it?" }).waitFor();
    await page.keyboard.press("Enter");
    assert.deepEqual(await closed, [4003, "tested"]);
    await page.getByText("There is no connection").waitFor();
  });

  test("a key without manage sees no button that changes anything, and one of a project only its lists", LIMITS, async () => {
    await signIn(READ, "#/nodes");
    await page.getByRole("region", { name: "Nodes" }).getByText("ready").waitFor();
    assert.equal(await page.getByRole("button", { name: "Drain" }).count(), 0);
    await page.getByText("read-only").waitFor();
    await open("Try");
    await page.getByText("This key does not have the scope send.").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await signIn(SHOP);
    const names = await page.getByRole("navigation", { name: "Pages" }).getByRole("link").allTextContents();
    assert.deepEqual(names, ["Connections", "Rooms and users", "Explain", "Try"]);
    await page.getByText("No connection matches.").waitFor();
  });

  test("an event is sent and the shown command does the same", LIMITS, async () => {
    await signIn(MANAGE, "#/try");
    const socket = sockets[1];
    const next = () => new Promise((resolve) => socket.once("message", (data) => resolve(JSON.parse(data))));
    let received = next();
    await page.getByLabel("Event").fill("it's");
    await page.getByRole("button", { name: "Send", exact: true }).last().click();
    await page.getByRole("region", { name: "Answer" }).getByText("sockets_here").waitFor();
    assert.deepEqual([(await received).event, (await received).data], ["it's", { text: "hello" }]);
    received = next();
    const command = await page.getByRole("region", { name: "Shell" }).textContent();
    const { execFile } = await import("node:child_process");
    await new Promise((resolve, reject) => {
      execFile("sh", ["-c", command], { env: { ...process.env, KEY: MANAGE } }, (error) => (error ? reject(error) : resolve()));
    });
    assert.equal((await received).event, "it's");
    await page.getByLabel("Data, as JSON").fill("{");
    await page.getByText("The data is no JSON").first().waitFor();
    assert.ok(await page.getByRole("button", { name: "Send", exact: true }).last().isDisabled());
  });

  test("it explains whether a message would arrive, and what became of one", LIMITS, async () => {
    await signIn(READ, "#/explain");
    const answer = page.getByRole("region", { name: "Answer" });
    for (const [to, outcome] of [["#lobby", "would arrive"], ["user:nobody", "would not arrive"]]) {
      await page.getByLabel("To", { exact: true }).fill(to);
      await page.keyboard.press("Enter");
      await answer.getByText(outcome, { exact: true }).waitFor();
    }
    await page.getByLabel("To", { exact: true }).fill("lobby");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "names no recipients" }).waitFor();
    await call("send", { event: EVIL, data: 1, to: { rooms: ["lobby"] }, trace: true });
    await page.getByRole("button", { name: "Traced messages" }).click();
    await page.getByRole("link", { name: EVIL }).first().click();
    await page.getByRole("region", { name: "Life of the message" }).getByText(EVIL).first().waitFor();
  });

  test("settings show where they come from and no secret", LIMITS, async () => {
    await signIn(READ, "#/settings");
    const row = page.getByRole("row").filter({ hasText: "history.rooms.lobby.messages_max" });
    await row.getByText("--set history.rooms.lobby.messages_max").waitFor();
    await page.getByRole("button", { name: "All" }).click();
    await page.getByLabel("Search").fill("koji.enabled");
    await page.getByText("default", { exact: true }).first().waitFor();
    await page.getByLabel("Search").fill("");
    const text = await page.locator("main").textContent();
    for (const secret of [MANAGE, READ, "whsec"]) assert.ok(!text.includes(secret), secret);
  });
});

/** Connects a socket of the emit or Koji protocol, and waits until the server has it. */
async function connect(address) {
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  return socket;
}
