/**
 * The first programs of the README, run as they stand there against a real server: only the port is replaced. With
 * `UPDATE_SCREENSHOT=1` the picture in the README is taken again.
 */

import { build } from "esbuild";
import { once } from "node:events";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { TestBrowser } from "../support/browser.js";
import { PackedPackage } from "../support/packedPackage.js";
import { startServer, type Server } from "../support/server.js";

const README = readFileSync("README.md", "utf8");
const SCREENSHOT = "docs/first-page.png";

let browser: TestBrowser;
let packed: PackedPackage;
let server: Server;
let site: HttpServer;

/** The first block of this language, with the port of the test's server. */
function program(language: string): string {
  const [, block = ""] = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(README) ?? [];
  expect(block).toContain("localhost:3000");
  return block.replace("localhost:3000", server.host);
}

/** The page with its script bundled, as a bundler such as Vite does it. */
async function firstPage(): Promise<string> {
  const [, script = ""] = /<script type="module">([^]*)<\/script>/.exec(program("html")) ?? [];
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: packed.folder }, bundle: true, format: "esm", write: false,
  });
  return program("html").replace(script, () => outputFiles[0]?.text ?? "");
}

beforeAll(async () => {
  packed = PackedPackage.install();
  [browser, server] = await Promise.all([TestBrowser.launch(), startServer({ command: "serve" })]);
  const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${await firstPage()}`;
  const frames = ["", ""].map(() => '<iframe src="/"></iframe>').join("");
  const both = `<!doctype html><style>
    body { margin: 0; padding: 16px; display: flex; gap: 16px; background: #8aa0b8 }
    iframe { flex: 1; height: 200px; border: 0; border-radius: 8px; background: #fff; box-shadow: 0 2px 12px #0004 }
  </style>${frames}`;
  const [, importMap = ""] = /```html\n(<script type="importmap">.*)\n```/.exec(README) ?? [];
  const unbundled = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${importMap}${program("html")}`;
  site = createServer(({ url = "" }, response) => {
    const isScript = url.startsWith("/node_modules/");
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? readFileSync(join(packed.folder, url)) : { "/": html, "/unbundled": unbundled }[url] ?? both);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
});
afterAll(async () => {
  await browser.close();
  await server.stop();
  packed.remove();
  site.close();
});

const at = (path: string) => `http://127.0.0.1:${(site.address() as AddressInfo).port}${path}`;

test("the first page shows who is here, and the messages of both tabs in both", async () => {
  const page: Page = await (await browser.context()).newPage();
  await page.setViewportSize({ width: 720, height: 232 });
  await page.goto(at("/both"));
  const [left, right] = page.frames().slice(1);
  if (!left || !right) throw new Error("there are two frames");
  for (const frame of [left, right]) await frame.getByText("2 here").waitFor();
  for (const [frame, text] of [[left, "Hello!"], [right, "Hi, who are you?"], [left, "The other tab."]] as const) {
    await frame.getByPlaceholder("Say something").fill(text);
    await frame.getByRole("button").click();
    for (const each of [left, right]) await each.locator("#log", { hasText: text }).waitFor();
  }
  const [lines, others] = [await left.locator("#log").innerText(), await right.locator("#log").innerText()];
  expect(lines).toBe(others);
  expect(lines.trim().split("\n").map((line) => line.replace(/^[0-9a-f]{4}: /, ""))).toEqual([
    "Hello!", "Hi, who are you?", "The other tab.",
  ]);
  if (process.env["UPDATE_SCREENSHOT"]) {
    mkdirSync("docs", { recursive: true });
    await page.screenshot({ path: SCREENSHOT });
  }
  expect(browser.uncaughtErrors).toEqual([]);
});

test("the first page works without a bundler, with the import map", async () => {
  const page = await (await browser.context()).newPage();
  await page.goto(at("/unbundled"));
  await page.getByText(/^\d here$/).waitFor(); // the tabs of other tests may be open
  await page.close();
  expect(browser.uncaughtErrors).toEqual([]);
});

test("the first page names a server that does not answer", async () => {
  await server.stop();
  const page = await (await browser.context()).newPage();
  await page.goto(at("/"));
  const message = `cannot connect to ws://${server.host}/koji: connection refused, or no WebSocket server there`;
  await page.getByText(message).waitFor();
  server = await startServer({ command: "serve" });
});

test("the first program in Node sends a request and ends", () => {
  symlinkSync(resolve("node_modules/ws"), join(packed.folder, "node_modules/ws"));
  packed.write("first.mjs", program("js"));
  expect(packed.run("node", "first.mjs")).toBe("{ pong: true }\n");
});

test("the README's picture is in the package", () => {
  expect(README).toContain(`](${SCREENSHOT})`);
  expect(readFileSync(join(packed.folder, "node_modules/switchboard-sdk", SCREENSHOT)).length).toBeLessThan(40_000);
});
