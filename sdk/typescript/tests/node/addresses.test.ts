/**
 * The addresses that clients connect to: in pages of every scheme, and with names of any characters.
 */

import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";

import { EmitClient, type WebSocketLike } from "../../src/client/index.js";
import { Dispatch } from "../../src/dispatch/index.js";
import { Client } from "../../src/mesa/index.js";
import { rejectionCode } from "../support/errorCode.js";

/** Throws as browsers do, and keeps the addresses. */
class AddressSocket {
  static readonly addresses: string[] = [];
  readyState = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  constructor(url: string) {
    AddressSocket.addresses.push(url);
    if (!/^wss?:\/\//.test(url)) throw new SyntaxError(`The URL's scheme must be either 'ws' or 'wss'.`);
    if (new URL(url).port === "6000") throw new SyntaxError("The port is blocked.");
  }
  send(): void {}
  close(): void {}
}
const options = { WebSocket: AddressSocket as new (url: string) => WebSocketLike };

function inPage(href: string): void {
  vi.stubGlobal("location", new URL(href));
}

/** The address to which a client connects, without its query. */
async function addressOf(open: () => Promise<unknown>): Promise<string | undefined> {
  AddressSocket.addresses.length = 0;
  await open();
  return AddressSocket.addresses[0]?.split("?")[0];
}
const koji = (host?: string) =>
  addressOf(() => rejectionCode(new Dispatch({ host, options }).connect({ timeout: 1 })));
const emit = (url: string) => addressOf(() => rejectionCode(EmitClient.connect(url, { ...options, timeout: 1 })));
const mesa = (url: string) =>
  addressOf(() => rejectionCode(new Client(url, { ...options, autoConnect: false }).connect({ timeout: 1 })));

afterEach(() => vi.unstubAllGlobals());

/** Pages of packaged apps, extensions, files and workers. */
const PACKAGED = [
  "capacitor://localhost/index.html", "ionic://localhost/", "tauri://localhost/", "app://-/index.html",
  "chrome-extension://abcdef/page.html", "moz-extension://abcdef/page.html", "file:///home/ann/page.html",
  "about:blank", "about:srcdoc", "blob:https://page.example/7d7c", "data:text/html,x",
];

describe.each(PACKAGED)("in a page at %s", (href) => {
  test("a bare host is connected to with wss, and an address as it is", async () => {
    inPage(href);
    expect(await koji("chat.example:3000")).toBe("wss://chat.example:3000/koji");
    expect(await koji("ws://chat.example")).toBe("ws://chat.example/koji");
    expect(await koji("https://chat.example/base/")).toBe("wss://chat.example/base/koji");
    expect(await emit("https://chat.example/x")).toBe("wss://chat.example/x");
    expect(await mesa("wss://chat.example/mesa")).toBe("wss://chat.example/mesa");
  });

  test("without a host the error says that it is missing", async () => {
    inPage(href);
    const dispatch = new Dispatch({ options });
    const missing = { code: "bad_option", message: expect.stringContaining("there is no web page whose host could be used; pass host") as string };
    await expect(dispatch.connect()).rejects.toMatchObject(missing);
    await expect(dispatch.info()).rejects.toMatchObject(missing);
    expect(() => new EmitClient("/", options)).toThrow(`"/" is not a WebSocket address; use one such as ws://localhost:3000`);
  });
});

/** Hosts that are this machine, and hosts that are not. */
const LOOPBACK = ["localhost:3000", "localhost", "app.localhost:3000", "127.0.0.1:3000", "[::1]:3000", "0.0.0.0:3000"];
const REMOTE = ["chat.example:3000", "localhost.example", "127.0.0.1.example", "192.168.1.5:3000", "[fe80::1]:3000"];

describe("a host without a scheme", () => {
  test.each(LOOPBACK)("is connected to without encryption if it is this machine: %s", async (host) => {
    for (const page of [undefined, "https://page.example/", "capacitor://localhost/"]) {
      if (page) inPage(page);
      expect(await koji(host)).toBe(`ws://${host}/koji`);
      expect(await emit(`${host}/chat`)).toBe(`ws://${host}/chat`);
      expect(await mesa(host)).toBe(`ws://${host}/`);
    }
  });

  test.each(REMOTE)("is connected to with wss outside web pages: %s", async (host) => {
    expect(await koji(host)).toBe(`wss://${host}/koji`);
    expect(await emit(host)).toBe(`wss://${host}/`);
    expect(await mesa(`${host}/mesa`)).toBe(`wss://${host}/mesa`);
  });
});

describe("in a page of a web server", () => {
  test.each([["http://page.example:8080/a?b#c", "ws:"], ["https://page.example:8080/", "wss:"]])(
    "at %s the scheme and the host are the page's",
    async (href, scheme) => {
      inPage(href);
      expect(await koji()).toBe(`${scheme}//page.example:8080/koji`);
      expect(await koji("chat.example")).toBe(`${scheme}//chat.example/koji`);
      expect(await emit("/chat")).toBe(`${scheme}//page.example:8080/chat`);
      expect(await emit("chat.example/x")).toBe(`${scheme}//chat.example/x`);
      expect(await mesa("/mesa")).toBe(`${scheme}//page.example:8080/mesa`);
    },
  );
});

describe("an address that cannot be used", () => {
  test.each(["ftp://chat.example", "capacitor://chat.example", "wsx://chat.example", "ws://", "ws://a b"])(
    "is named in the error: %s",
    async (host) => {
      const message = expect.stringContaining(host.replace(/\/*$/, "")) as string;
      const error = { code: "bad_option", message };
      await expect(new Dispatch({ host, options }).connect()).rejects.toMatchObject(error);
      await expect(new Dispatch({ host, options }).info()).rejects.toMatchObject(error);
      await expect(new Client(host, { ...options, autoConnect: false }).connect()).rejects.toMatchObject(error);
      expect(() => new EmitClient(host, options)).toThrow(expect.objectContaining(error) as Error);
    },
  );

  test("is named with the cause if the WebSocket refuses it, and without the token in its query", async () => {
    const getToken = () => "s3cr3t";
    await expect(EmitClient.connect("ws://chat.example:6000/x?room=1", { ...options, getToken })).rejects.toMatchObject({
      code: "bad_option", message: "cannot connect to ws://chat.example:6000/x: The port is blocked.",
      cause: expect.any(SyntaxError) as Error,
    });
  });

  test("is shown as that of the page's own server, which may be one for development such as Vite", async () => {
    inPage("http://localhost:5173/index.html");
    const slow = { ...options, connectTimeout: 1 };
    const own = (path: string) => `ws://localhost:5173${path}, the page's own server, which may be no WebSocket server, within 1 ms`;
    await expect(EmitClient.connect("/", slow)).rejects.toMatchObject({ code: "timeout", message: `no connection to ${own("")}` });
    await expect(new Dispatch({ projectId: "p", options: slow }).connect()).rejects.toMatchObject({
      message: `no connection to ${own("/koji")}`,
    });
    await expect(EmitClient.connect("localhost:3000", slow)).rejects.toMatchObject({
      message: "no connection to ws://localhost:3000, which may be no WebSocket server, within 1 ms",
    });
  });

  test("is not blamed if there is no WebSocket class", async () => {
    vi.stubGlobal("WebSocket", undefined);
    const message = "this runtime has no WebSocket: npm install ws and pass { WebSocket }";
    const error = { name: "BadOptionError", code: "bad_option", message };
    await expect(EmitClient.connect("ws://chat.example")).rejects.toMatchObject(error);
    await expect(new Dispatch({ host: "chat.example" }).connect()).rejects.toMatchObject(error);
    // Another attempt would end in the same way.
    await expect(new Client("ws://chat.example", { autoConnect: false }).connect({ retry: true })).rejects.toMatchObject(error);
  });
});

describe("a name in an address", () => {
  /** Runs `use` with the host of a server that answers every request with a shard of the requested path. */
  async function withServer(use: (host: string) => Promise<void>): Promise<void> {
    const server: Server = createServer(({ url }, response) => {
      response.end(JSON.stringify([{ shardName: url, numConnectedClients: 1 }]));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`);
    server.closeAllConnections();
    server.close();
  }

  test("keeps its meaning in the path of `info`", async () => {
    await withServer(async (host) => {
      for (const projectId of ["a/../b", "/", "%2e%2e", "...", ".a", "?x=1", "#x", "a b", "ä", "__proto__", "\\..\\"]) {
        const [shard] = await new Dispatch({ projectId, host }).info();
        expect(shard?.shardName).toBe(`/base/info/${encodeURIComponent(projectId)}`);
      }
      expect((await new Dispatch({ host }).info())[0]?.shardName).toBe("/base/info/undefined");
    });
  });

  test.each([".", ".."])("is rejected in the path of `info` if it would select another one: %s", async (projectId) => {
    await expect(new Dispatch({ projectId, host: "x", options }).info()).rejects.toMatchObject({
      code: "bad_option", message: `an address cannot contain "${projectId}"`,
    });
    expect(await koji("ws://chat.example")).toBe("ws://chat.example/koji");
  });

  test("keeps its meaning in the query of a connection", async () => {
    const [projectId, shardName] = ["a&b=c", "d e+f%20#g"];
    await rejectionCode(new Dispatch({ projectId, host: "chat.example", options }).connect({ shardName, timeout: 1 }));
    const { searchParams } = new URL(AddressSocket.addresses.at(-1) ?? "");
    expect(Object.fromEntries(searchParams)).toEqual({
      connectedClients: "changes", identify: "answered", sb: "1", projectId, shardName,
    });
  });

  test("is rejected if it has half of a surrogate pair, which would become another name", async () => {
    const broken = new Dispatch({ projectId: "a\ud800", host: "x", options });
    for (const call of [broken.connect(), broken.info()]) {
      await expect(call).rejects.toMatchObject({ code: "bad_option", message: String.raw`an address cannot contain "a\ud800"` });
    }
  });
});
