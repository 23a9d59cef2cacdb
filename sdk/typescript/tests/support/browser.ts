/**
 * A real browser with a page that contains the bundled clients.
 */

import { build } from "esbuild";
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

const ARGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** The contents of `window.sdk` in a page of these tests. */
export const PAGE_SCRIPT = `
  export { EmitClient } from "./src/client/index.ts";
  export { Dispatch, DISPATCH_EVENT } from "./src/dispatch/index.ts";
  export { Client, Message } from "./src/mesa/index.ts";
`;

/** As strict as a page can be that uses this package. */
const CONTENT_SECURITY_POLICY = "default-src 'none'; script-src 'self'; img-src data:; connect-src *";

export class TestBrowser {
  readonly #uncaughtErrors: string[] = [];

  private constructor(
    readonly browser: Browser,
    readonly server: Server,
  ) {}

  /** `pageScript` is the module of the page; its exports become `window.sdk`. */
  static async launch(pageScript = PAGE_SCRIPT): Promise<TestBrowser> {
    const { outputFiles } = await build({
      stdin: { contents: pageScript, resolveDir: process.cwd(), loader: "ts" },
      bundle: true, format: "iife", globalName: "sdk", minify: true, write: false,
    });
    const script = outputFiles[0]?.text ?? "";
    const server = createServer(({ url }, response) => {
      if (url === "/sdk.js") {
        response.setHeader("content-type", "text/javascript");
        response.end(script);
        return;
      }
      response.setHeader("content-type", "text/html");
      response.setHeader("content-security-policy", CONTENT_SECURITY_POLICY);
      response.end(`<!doctype html><link rel="icon" href="data:,"><script src="/sdk.js"></script>`);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
    return new TestBrowser(await chromium.launch({ executablePath, args: ARGS }), server);
  }

  /** Uncaught errors of all pages. */
  get uncaughtErrors(): readonly string[] {
    return this.#uncaughtErrors;
  }

  async context(): Promise<BrowserContext> {
    const context = await this.browser.newContext();
    context.on("weberror", (error) => this.#uncaughtErrors.push(String(error.error())));
    return context;
  }

  async tab(context: BrowserContext): Promise<Page> {
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`);
    return page;
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.server.close();
    await once(this.server, "close");
  }
}
