/**
 * The parts of the core that need no server: timers, back-off, close codes; and the types in the sources.
 */

import { readdirSync, readFileSync } from "node:fs";
import ts from "typescript";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { EmitClient, type StateChange, type WebSocketLike } from "../../src/client/index.js";
import { backoff } from "../../src/core/backoff.js";
import { allowsReconnect } from "../../src/core/closeCodes.js";

describe("back-off", () => {
  test("doubles its ceiling up to the maximum, with jitter below it", () => {
    const ceilings = [0, 1, 2, 3, 4, 5, 6].map((attempt) => backoff(attempt, 500, 20_000, 1));
    expect(ceilings).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 20_000]);
    expect(backoff(3, 500, 20_000, 0.25)).toBe(1000);
    expect(backoff(5000, 500, 20_000, 0)).toBe(0);
  });

  test("follows the table of close codes", () => {
    const verdicts = [1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1012, 1013, 3000, 4999].map(allowsReconnect);
    expect(verdicts).toEqual([false, true, false, true, true, false, true, true, true, true, false, false]);
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
  cut(): void {
    this.onclose?.({ code: 1006, reason: "" } as never);
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
    expect(states.at(-1)).toMatchObject({ state: "reconnecting", reason: "no answer" });
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
    expect(client.emit("/x")).toBe(true);
    expect(client.emit("/y", 1, { volatile: true })).toBe(false);
    expect(socket?.sent).toEqual([]);
  });

  test("page events have no effect once the client is closed", () => {
    void client.close({ timeout: 1 });
    page.dispatchEvent(new Event("online"));
    expect(StubSocket.all).toHaveLength(1);
  });
});

test("the source has no `any`", () => {
  const found: string[] = [];
  for (const name of readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
    const source = ts.createSourceFile(name, readFileSync(`src/${name}`, "utf8"), ts.ScriptTarget.ES2022);
    const look = (node: ts.Node): void => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) found.push(`${name}:${node.pos}`);
      ts.forEachChild(node, look);
    };
    look(source);
  }
  expect(found).toEqual([]);
});
