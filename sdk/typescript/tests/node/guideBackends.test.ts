/**
 * The programs of the guides for backends, in Python and in Node: a chat with handlers over HTTP, a receiver of webhooks that checks
 * signatures, tokens with rights, and a history. They are taken from the guides and run as they are.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import WebSocket from "ws";

import { EmitClient } from "../../src/client/index.js";
import { signToken } from "../../src/server/index.js";
import { ReceiveQueue } from "../support/receiveQueue.js";
import { freePort, startServer, TRANSCRIPTS, type Server } from "../support/server.js";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY = "a key of the tests of guides, long enough";
const GUIDES = resolve(TRANSCRIPTS, "../../docs/guides");

/** The first block of a language in a guide. */
function block(guide: string, language: string): string {
  const [, text] = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "m").exec(readFileSync(join(GUIDES, guide), "utf8")) ?? [];
  if (!text) throw new Error(`${guide} has no block of ${language}`);
  return text;
}

/** Waits until a port is open. */
function listening(port: number): Promise<void> {
  const attempt = () => new Promise<void>((settle, reject) => {
    const socket = connect(port, "127.0.0.1", () => settle(void socket.destroy()));
    socket.once("error", reject);
  });
  return vi.waitFor(attempt, { timeout: 20_000 });
}

describe.each([
  { language: "python", command: "python3", file: "backend.py" },
  { language: "js", command: process.execPath, file: "backend.mjs" },
])("the backends of the guides in $language", ({ language, command, file }) => {
  const folder = mkdtempSync(join(tmpdir(), "guide-"));
  const running: ChildProcess[] = [];
  const open: EmitClient[] = [];
  const reported = new ReceiveQueue<string>();
  let server: Server;
  let hookPort: number;

  async function program(guide: string, name: string): Promise<{ port: number; process: ChildProcess }> {
    const path = join(folder, `${name}-${file}`);
    writeFileSync(path, block(guide, language));
    const port = await freePort();
    const env = { ...process.env, PORT: `${port}`, WEBHOOK_SECRET: SECRET };
    const child = spawn(command, [path], { env, stdio: ["ignore", "pipe", "inherit"] });
    running.push(child);
    await listening(port);
    return { port, process: child };
  }

  async function client(query: string, options: object = {}): Promise<EmitClient> {
    const created = await EmitClient.connect(`${server.url}/?${query}`, { WebSocket, ...options });
    open.push(created);
    return created;
  }

  beforeAll(async () => {
    const chat = await program("handlers-over-http.md", "chat");
    const hook = await program("webhooks.md", "hook");
    hookPort = hook.port;
    createInterface(hook.process.stdout!).on("line", reported.put);
    server = await startServer({
      command: "serve",
      settings: [
        `auth.jwt_secret=${KEY}`,
        `handlers.backends.chat={ url = "http://127.0.0.1:${chat.port}/", events = ["@connect", "/chat/*"], allow_private = true }`,
        `hooks.endpoints.chat={ url = "http://127.0.0.1:${hook.port}/", secrets = "${SECRET}", events = ["authenticated", "joined", "disconnected"], allow_private = true }`,
        `history.rooms={ chat = {} }`,
        `projects.every.can={ "#chat" = "jh" }`,
      ],
    });
  });

  afterAll(async () => {
    for (const each of open) await each.close();
    await server?.stop();
    for (const child of running) child.kill();
    rmSync(folder, { recursive: true });
  });

  test("decide who connects, answer requests, send to the room, and survive bad data", async () => {
    const refused = new WebSocket(`${server.url}/?name=eve`);
    const [code] = (await once(refused, "close")) as [number];
    expect(code).toBe(1008);
    const [ann, bob] = [await client("name=ann"), await client("name=bob")];
    const received = new ReceiveQueue<unknown>();
    bob.on("message", received.put);
    // A connection is open before its backend has answered. What the client sends waits for the answer.
    expect(await bob.request("/chat/recent")).toEqual([]);
    expect(await ann.request("/chat/say", { text: "hello" })).toBe(1);
    expect(await received.next()).toEqual({ from: "ann", text: "hello" });
    // More of them than calls in a row after which a backend counts as down.
    for (const data of [{}, null, [], 7, { text: 7 }, { text: null }, "text"]) {
      await expect(ann.request("/chat/say", data)).rejects.toMatchObject({ code: "refused", serverCode: "bad_data" });
    }
    const refusals = new ReceiveQueue<unknown>();
    ann.on("@refused", refusals.put);
    ann.emit("/chat/say", {});
    expect(await refusals.next()).toMatchObject({ event: "/chat/say", code: "bad_data" });
    await expect(ann.request("/chat/shout")).rejects.toMatchObject({ serverCode: "unknown" });
    expect(await bob.request("/chat/recent")).toEqual([{ from: "ann", text: "hello" }]);
    const history = await bob.history("#chat");
    expect(history.messages).toMatchObject([{ offset: 1, event: "message", data: { from: "ann", text: "hello" } }]);
  });

  test("work beside tokens: a token gives a room that others may not join", async () => {
    const visitor = await client("name=cem");
    await expect(visitor.request("/join", { room: "staff" })).rejects.toMatchObject({ serverCode: "forbidden" });
    const token = signToken({ id: "dora", can: { "#staff": "js" } }, KEY, { expiresIn: "10m" });
    const staff = await client("name=dora", { getToken: () => token });
    await staff.request("/join", { room: "staff" });
    await expect(visitor.request("/join", { room: "staff" })).rejects.toMatchObject({ serverCode: "forbidden" });
  });

  test("receive signed reports of clients, and refuse those with another signature", async () => {
    const eli = await client("name=eli");
    await eli.close();
    const lines: string[] = [];
    while (!lines.includes("disconnected eli")) lines.push(await reported.next());
    expect(lines).toContain("joined eli");
    const body = '{"reports":[{"type":"forged","user":"mallory"}]}';
    const call = async (secret: string, timestamp: number) => {
      const key = Buffer.from(secret.replace("whsec_", ""), "base64");
      const signature = `v1,${createHmac("sha256", key).update(`m.${timestamp}.${body}`).digest("base64")}`;
      const headers = { "webhook-id": "m", "webhook-timestamp": `${timestamp}`, "webhook-signature": signature };
      return (await fetch(`http://127.0.0.1:${hookPort}/`, { method: "POST", headers, body })).status;
    };
    const now = Math.floor(Date.now() / 1000);
    expect(await call(SECRET, now)).toBe(204);
    expect(await call(SECRET, now - 3600)).toBe(401);
    expect(await call("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", now)).toBe(401);
    expect((await fetch(`http://127.0.0.1:${hookPort}/`, { method: "POST", body })).status).toBe(401);
  });
});
