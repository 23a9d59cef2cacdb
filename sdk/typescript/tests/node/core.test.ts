/**
 * The parts of the core that need no server: timers, back-off, close codes; and the types in the sources.
 */

import { readdirSync, readFileSync } from "node:fs";
import ts from "typescript";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { EmitClient, type StateChange, type WebSocketLike } from "../../src/client/index.js";
import { after } from "../../src/core/after.js";
import { backoff, throttledDelay } from "../../src/core/backoff.js";
import { allowsReconnect } from "../../src/core/closeCodes.js";
import { Dispatch } from "../../src/dispatch/index.js";

describe("back-off", () => {
  test("doubles its ceiling up to the maximum, with jitter below it", () => {
    const ceilings = [0, 1, 2, 3, 4, 5, 6].map((attempt) => backoff(attempt, 500, 20_000, 1));
    expect(ceilings).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 20_000]);
    expect(backoff(3, 500, 20_000, 0.25)).toBe(1000);
    expect(backoff(5000, 500, 20_000, 0)).toBe(0);
  });

  test("is a number for every option and attempt", () => {
    expect(backoff(5000, 0, 20_000, 0.5)).toBe(0);
    expect(backoff(0, Infinity, 20_000, 0.5)).toBe(10_000);
    expect(backoff(1, 2 ** 32, Infinity, 0.5)).toBe(2 ** 32);
    expect([backoff(0, Infinity, Infinity, 0.5), backoff(0, Infinity, Infinity, 0)]).toEqual([Infinity, 0]);
    expect([throttledDelay(60_000, 0), throttledDelay(Infinity, 0), throttledDelay(Infinity, 1)]).toEqual([30_000, 10_000, 20_000]);
  });

  test("follows the table of close codes", () => {
    const verdicts = [1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1012, 1013, 3000, 4999].map(allowsReconnect);
    expect(verdicts).toEqual([false, true, false, true, true, false, true, true, true, true, false, false]);
  });
});

describe("a timer", () => {
  const DAY = 86_400_000;
  let calls = 0;
  beforeEach(() => {
    vi.useFakeTimers();
    calls = 0;
  });
  afterEach(() => vi.useRealTimers());

  test.each([1, 1000, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 40 * DAY, 400 * DAY])("of %d ms ends after that time", (ms) => {
    after(ms, () => calls++);
    vi.advanceTimersByTime(ms - 1);
    expect(calls).toBe(0);
    vi.advanceTimersByTime(1);
    expect(calls).toBe(1);
    vi.advanceTimersByTime(ms);
    expect([calls, vi.getTimerCount()]).toEqual([1, 0]);
  });

  test.each([Infinity, NaN])("of %d ms never ends, and does not keep the process running", (ms) => {
    after(ms, () => calls++);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("can be cancelled at any time", () => {
    for (const elapsed of [0, 30 * DAY]) {
      const stop = after(40 * DAY, () => calls++);
      vi.advanceTimersByTime(elapsed);
      stop();
      expect(vi.getTimerCount()).toBe(0);
      vi.advanceTimersByTime(40 * DAY);
    }
    expect(calls).toBe(0);
  });
});

/** A socket that the test controls. */
class StubSocket implements WebSocketLike {
  static all: StubSocket[] = [];
  readyState = 0;
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  sent: string[] = [];
  closed = false;
  constructor() {
    StubSocket.all.push(this);
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.(undefined as never);
  }
  cut(code = 1006): void {
    this.onclose?.({ code, reason: "" } as never);
  }
  receive(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) } as never);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.closed = true;
  }
}

describe("a connection over time", () => {
  const page = new EventTarget();
  const states: StateChange[] = [];
  let client: EmitClient;

  beforeEach(async () => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(1);
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
    vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
    StubSocket.all = [];
    client = new EmitClient("ws://stub", { WebSocket: StubSocket, reconnect: true });
    states.length = 0;
    client.on("@state", (change) => void states.push(change));
    const open = client.open();
    await vi.advanceTimersByTimeAsync(0);
    StubSocket.all[0]?.open();
    await open;
  });
  afterEach(() => {
    client.close({ timeout: 1 });
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  const last = () => StubSocket.all.at(-1);

  test("a client reconnects after 0.5, 1, 2, … s, ten times, and then closes", async () => {
    last()?.cut();
    const waits: number[] = [];
    while (client.state === "reconnecting") {
      waits.push(states.at(-1)?.delay ?? 0);
      await vi.advanceTimersByTimeAsync(states.at(-1)?.delay ?? 0);
      last()?.cut();
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000, 20_000]);
    expect(states.at(-1)).toMatchObject({ state: "closed", willReconnect: false, attempt: 10 });
  });

  test("attempts while the browser is offline do not count, and the delay ends when it is online", async () => {
    vi.stubGlobal("navigator", { onLine: false });
    last()?.cut();
    for (let i = 0; i < 20; i++) {
      await vi.advanceTimersByTimeAsync(500);
      last()?.cut();
    }
    expect(states.at(-1)).toMatchObject({ state: "reconnecting", attempt: 0 });
    vi.stubGlobal("navigator", { onLine: true });
    const before = StubSocket.all.length;
    page.dispatchEvent(new Event("online"));
    await vi.advanceTimersByTimeAsync(0);
    expect(StubSocket.all.length).toBe(before + 1);
    last()?.open();
    expect(client.connected).toBe(true);
  });

  test("a silent server is probed after 25 s, and the connection counts as lost 5 s later", async () => {
    await vi.advanceTimersByTimeAsync(24_999);
    expect(last()?.sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(last()?.sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(5000);
    expect(states.at(-1)).toMatchObject({ state: "reconnecting", reason: "the server did not answer within 5000 ms" });
    expect(last()?.closed).toBe(true);
  });

  test("the server is probed at once, and only once, when the page is shown again", async () => {
    for (const event of ["online", "pageshow", "online"]) page.dispatchEvent(new Event(event));
    expect(last()?.sent).toHaveLength(1);
    last()?.onmessage?.({ data: '{"type":"ack","ackId":"@alive"}' } as never);
    await vi.advanceTimersByTimeAsync(5000);
    expect(client.connected).toBe(true);
  });

  test("an attempt that hangs ends after 10 s", async () => {
    last()?.cut();
    await vi.advanceTimersByTimeAsync(500);
    const hanging = last();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(hanging?.closed).toBe(true);
    expect(states.at(-1)).toMatchObject({ state: "reconnecting", error: { code: "timeout" } });
  });

  test("aborting the last pending open closes the client, also between attempts", async () => {
    const stop = new AbortController();
    const late = new EmitClient("ws://stub", { WebSocket: StubSocket, reconnect: true });
    const open = late.open({ retry: true, signal: stop.signal }).catch((error: { code: string }) => error.code);
    await vi.advanceTimersByTimeAsync(0);
    last()?.cut();
    expect(late.state).toBe("reconnecting");
    stop.abort();
    expect(await open).toBe("aborted");
    expect(late.state).toBe("closed");
  });

  test("messages sent while the socket closes are queued", () => {
    const socket = last();
    if (socket) socket.readyState = 2;
    client.emit("/x").emit("/y", 1, { volatile: true });
    expect(socket?.sent).toEqual([]);
  });

  test("page events have no effect once the client is closed", () => {
    void client.close({ timeout: 1 });
    page.dispatchEvent(new Event("online"));
    expect(StubSocket.all).toHaveLength(1);
  });
});

describe("a client with long delays", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(1);
    StubSocket.all = [];
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  const last = () => StubSocket.all.at(-1);

  test.each([
    ["1008 and no maximum", 1008, { maxReconnectDelay: Infinity }, 20_000],
    ["1008 and a maximum that setTimeout cannot hold", 1008, { maxReconnectDelay: 2 ** 32 }, 2 ** 32],
    ["1012 and a delay that setTimeout cannot hold", 1012, { reconnectDelay: 2 ** 32, maxReconnectDelay: Infinity }, 2 ** 32],
    ["1012 and an infinite delay", 1012, { reconnectDelay: Infinity }, 20_000],
  ])("after %s the client waits for the delay that it announces", async (_, code, delays, expected) => {
    const waiting = new EmitClient("ws://stub", { WebSocket: StubSocket, reconnect: true, ...delays });
    let delay: number | undefined;
    waiting.on("@state", (change) => void (delay = change.delay));
    const open = waiting.open();
    await vi.advanceTimersByTimeAsync(0);
    last()?.open();
    await open;
    last()?.cut(code);
    expect([waiting.state, delay]).toEqual(["reconnecting", expected]);
    await vi.advanceTimersByTimeAsync(expected - 1);
    expect(StubSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(StubSocket.all).toHaveLength(2);
    void waiting.close({ timeout: 1 });
  });

  test("an infinite delay without a maximum never ends by itself", async () => {
    const waiting = new EmitClient("ws://stub", {
      WebSocket: StubSocket, reconnect: true, reconnectDelay: Infinity, maxReconnectDelay: Infinity,
    });
    void waiting.open({ retry: true }).catch(() => {});
    await vi.advanceTimersByTimeAsync(0);
    last()?.cut();
    await vi.advanceTimersByTimeAsync(2 ** 32);
    expect([waiting.state, StubSocket.all.length]).toEqual(["reconnecting", 1]);
    waiting.open().catch(() => {});
    await vi.advanceTimersByTimeAsync(0);
    expect(StubSocket.all).toHaveLength(2);
    void waiting.close({ timeout: 1 });
  });

  test("a time limit of 40 days ends a call then, and 0 and Infinity never", async () => {
    const limit = 40 * 86_400_000;
    const slow = new EmitClient("ws://stub", { WebSocket: StubSocket, watchdogInterval: 0 });
    const open = slow.open();
    await vi.advanceTimersByTimeAsync(0);
    last()?.open();
    await open;
    const ended: unknown[] = [];
    for (const timeout of [limit, 0, Infinity]) {
      slow.request("/x", {}, { timeout }).catch(({ code }) => ended.push([timeout, code]));
    }
    await vi.advanceTimersByTimeAsync(limit - 1);
    expect(ended).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toEqual([[limit, "timeout"]]);
    await vi.advanceTimersByTimeAsync(10 * limit);
    expect(ended).toHaveLength(1);
    void slow.close({ timeout: 1 });
  });

  test("a token with 60 days left is replaced after 48 days", async () => {
    const DAY_S = 86_400;
    const jwt = (days: number) => `e30.${btoa(JSON.stringify({ exp: Date.now() / 1000 + days * DAY_S }))}.x`;
    const tokens = [jwt(60), jwt(1000)];
    const reasons: string[] = [];
    const getToken = ({ reason }: { reason: string }) => tokens[reasons.push(reason) - 1] as string;
    const options = { WebSocket: StubSocket, getToken, watchdogInterval: 0 };
    const dispatch = new Dispatch({ host: "ws://stub", options });
    const connected = dispatch.connect();
    await vi.advanceTimersByTimeAsync(0);
    last()?.open();
    last()?.receive({ eventName: "@@KOJI_DISPATCH/CONNECTED", payload: { clientId: "a", shardName: "s" } });
    await connected;
    await vi.advanceTimersByTimeAsync(48 * DAY_S * 1000 - 1);
    expect(reasons).toEqual(["connect"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(reasons).toEqual(["connect", "expiring"]);
    expect(last()?.sent.map((text) => JSON.parse(text).payload)).toEqual(tokens.map((token) => ({ token })));
    void dispatch.disconnect({ timeout: 1 });
    // The limit of the close.
    expect(vi.getTimerCount()).toBe(1);
  });
});

/** The files of the source with a node that matches. */
function filesWith(matches: (node: ts.Node) => boolean): string[] {
  const found = new Set<string>();
  for (const name of readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
    const source = ts.createSourceFile(name, readFileSync(`src/${name}`, "utf8"), ts.ScriptTarget.ES2022);
    const look = (node: ts.Node): void => {
      if (matches(node)) found.add(name);
      ts.forEachChild(node, look);
    };
    look(source);
  }
  return [...found];
}

test("one file of the source has `any`, for data that no contract describes", () => {
  expect(filesWith(({ kind }) => kind === ts.SyntaxKind.AnyKeyword)).toEqual(["core/unchecked.ts"]);
});

test("one file of the source calls timers, so that all accept every delay", () => {
  const isTimer = (node: ts.Node) => ts.isIdentifier(node) && /^set(Timeout|Interval|Immediate)$/.test(node.text);
  expect(filesWith(isTimer)).toEqual(["core/after.ts"]);
});
