/**
 * The package as published, installed into projects without access to its sources.
 */

import { build } from "esbuild";
import { symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { PackedPackage } from "../support/packedPackage.js";

let packed: PackedPackage;

const run = (command: string, ...args: string[]) => packed.run(command, ...args);

beforeAll(() => {
  packed = PackedPackage.install();
  // A React project has these as well.
  for (const name of ["react", "@types"]) symlinkSync(resolve("node_modules", name), join(packed.folder, "node_modules", name));
});
afterAll(() => packed.remove());

const USE = `
  const client = new EmitClient("ws://localhost:1", { reconnect: true });
  if (client.state !== "idle" || dispatch.state !== "idle") throw new Error("a client connected by itself");
  if (!(dispatch instanceof Dispatch) || Default !== Dispatch) throw new Error("the default export is not Dispatch");
  if (new Client("ws://localhost:1", { autoConnect: false }).state !== "idle") throw new Error("the Mesa client connected by itself");
  if (new Message(0, {}, "X").serialize() !== '{"op":0,"d":{},"t":"X"}') throw new Error("a message has another encoding");
  if (signToken({ id: "7" }, "a secret of this test, and long enough").split(".").length !== 3) throw new Error("a token has another format");
  // ioredis is not installed here.
  const missing = await new Dispatcher("redis://localhost:1").dispatch(new Message(0, {}, "X"), ["7"]).catch(({ code }) => code);
  if (missing !== "missing_dependency") throw new Error("the code is " + missing);
  // Promises that nothing handles do not end the process.
  const ignored = new Promise((resolve) => {
    const dispatcher = new Dispatcher("redis://localhost:1");
    dispatcher.on("error", resolve);
    dispatcher.dispatch(new Message(0, {}, "X"), ["7"]);
  });
  const pooled = new Promise((resolve) => new Portal("redis://localhost:1").on("error", resolve));
  for (const { code } of [await ignored, await pooled]) {
    if (code !== "missing_dependency") throw new Error("the ignored code is " + code);
  }
  console.log(DISPATCH_EVENT.CONNECTED, typeof SwitchboardProvider, new ConnectFailedError("x") instanceof SwitchboardError);
`;

const OUTPUT = "@@KOJI_DISPATCH/CONNECTED function true\n";

test("works in an ESM project", () => {
  const imports = `
    import { ConnectFailedError, EmitClient, SwitchboardError } from "switchboard-sdk/client";
    import Default, { Dispatch, dispatch, DISPATCH_EVENT } from "switchboard-sdk/dispatch";
    import { Client, Message } from "switchboard-sdk/mesa";
    import { SwitchboardProvider } from "switchboard-sdk/react";
    import { Dispatcher, Portal, signToken } from "switchboard-sdk/server";
  `;
  packed.write("esm.mjs", imports + USE);
  expect(run("node", "esm.mjs")).toBe(OUTPUT);
});

test("works in a CJS project", () => {
  const requires = `
    const { ConnectFailedError, EmitClient, SwitchboardError } = require("switchboard-sdk/client");
    const { default: Default, Dispatch, dispatch, DISPATCH_EVENT } = require("switchboard-sdk/dispatch");
    const { Client, Message } = require("switchboard-sdk/mesa");
    const { SwitchboardProvider } = require("switchboard-sdk/react");
    const { Dispatcher, Portal, signToken } = require("switchboard-sdk/server");
  `;
  packed.write("cjs.cjs", `${requires} (async () => {${USE}})();`);
  expect(run("node", "cjs.cjs")).toBe(OUTPUT);
});

const TYPED = `
  import { EmitClient, type ContractOf, type StateChange } from "switchboard-sdk/client";
  import { Dispatch, DISPATCH_EVENT } from "switchboard-sdk/dispatch";
  import { Client, Message } from "switchboard-sdk/mesa";
  import { createEmitHooks, createShardHooks, useEvent, useRequest } from "switchboard-sdk/react";
  import { Dispatcher, DispatchEvent, Portal, type DispatchResult } from "switchboard-sdk/server";

  interface Chat {
    emits: { "/message": { text: string }; "/bye": undefined };
    requests: { "/join": { data: { username: string }; reply: { joined: true } }; "/game/move": { data: [number, number]; reply: null } };
    events: { message: { username: string; text: string } };
    serverRequests: { "/ready?": { data: { round: number }; reply: boolean } };
  }
  export async function chat(): Promise<void> {
    const client = await EmitClient.connect<Chat>("ws://localhost:3000", { reconnect: true });
    const { joined }: { joined: true } = await client.request("/join", { username: "Ann" });
    client.on("message", ({ username, text }) => void (username + text + joined));
    client.on("@disconnect", ({ code, willReconnect }: StateChange) => void [code, willReconnect]);
    client.handle("/ready?", async ({ round }) => round > 1);
    client.emit("/message", { text: "hi" });
    client.emit("/bye");
    const nothing: null = await client.ns("/game").request("/move", [1, 2], { timeout: 5 });
    // @ts-expect-error there is no such event
    client.emit("/nosuch", {});
    // @ts-expect-error the data has another shape
    client.emit("/message", { txt: "hi" });
    // @ts-expect-error the data is missing
    client.emit("/message");
    // @ts-expect-error the reply has another shape
    const wrong: string = await client.request("/join", { username: "Ann" });
    // @ts-expect-error the answer has another shape
    client.handle("/ready?", () => "yes");
    void [nothing, wrong, client.on("message", () => {}).emit("/bye").set("name", "Ann").connected];
    const untyped = await EmitClient.connect("ws://localhost:3000");
    const { receivers } = await untyped.request<{ receivers: number }>("/broadcast", { text: "hi" });
    untyped.on("said", ({ text }: { text: string }) => void (text + receivers)).off("said");
    const { anything } = await untyped.request("/unchecked");
    const dispatch = new Dispatch({ projectId: "p", options: { maxConnectionsPerShard: "25" } });
    dispatch.on(DISPATCH_EVENT.CONNECTED, ({ clientId }) => void clientId.length);
    const mesa = new Client("ws://localhost:4000", { autoConnect: false });
    mesa.on("message", (message) => void (message.sequence ?? 0 + message.opcode));
    const user: { id: string } = await mesa.authenticate<{ id: string }>({ token: "t" }, { shouldSync: false });
    mesa.send(new Message(0, user, "X", { sync: false }));
    const dispatcher = new Dispatcher({ host: "localhost" }, { namespace: "api", sync: { enabled: true } });
    const { inboxes }: DispatchResult = await dispatcher.dispatch(new Message(0, {}, "X"), ["1"], ["2"], { timeout: 5 });
    await dispatcher.dispatch(new DispatchEvent("DISCONNECT_CLIENT"), { users: ["1"], rooms: inboxes ? ["a"] : [] });
    interface Game { events: { move: { from: string; to: string }; again: undefined }; userInfo: { name: string } }
    const game = new Dispatch<Game>({ projectId: "chess", host: "localhost:3000" });
    game.on("move", ({ from, __clientId }, { clientId }) => void [from.length, __clientId === clientId, anything]);
    game.on(DISPATCH_EVENT.CONNECTED_CLIENTS_CHANGED, ({ connectedClients }) => void connectedClients["x"]?.userInfo.name?.length);
    game.emitEvent("move", { from: "e2", to: "e4" }, ["someone"], { volatile: true });
    game.emitEvent("again");
    game.setUserInfo({ name: "Ann" });
    const names: (string | undefined)[] = game.connectedClients.map(({ userInfo }) => userInfo.name);
    void [names, mesa.on("connected", () => {}).off("connected").state];
    // @ts-expect-error there is no such action
    new DispatchEvent("DANCE");
    const portal = new Portal("redis://localhost", { reportAllEvents: true });
    portal.on("message", ({ type, data }, clientId) => void [type?.length, data, clientId?.length]);
    portal.onAuthentication = (clientId) => void clientId.length;
    dispatch.on("x", (payload: { n: number }, { latencyMs }) => void (payload.n + latencyMs));
  }
  interface Greeting {
    requests: { "/join": { data: { username: string }; reply: { joined: true } }; "/ping": { data: undefined; reply: number } };
    events: { message: { text: string } };
  }
  const hooks = createEmitHooks<Greeting>();
  const shard = createShardHooks<{ events: { move: { to: string } }; userInfo: { name: string } }>();
  export function Typed(): null {
    hooks.useEvent("message", ({ text }) => void text.length);
    hooks.useEvent("@disconnect", ({ willReconnect }) => void willReconnect);
    const join = hooks.useRequest("/join");
    const reply: Promise<{ joined: true }> = join.send({ username: "Ann" });
    const time: number | undefined = hooks.useRequest("/ping").data;
    shard.useEvent("move", ({ to, __clientId }, { latencyMs }) => void [to.length, __clientId, latencyMs]);
    const members: (string | undefined)[] = shard.useConnectedClients().map(({ userInfo }) => userInfo.name);
    void [reply, time, members, join.error?.code, hooks.useClient().connected, shard.useClient().connectionInfo];
    return null;
  }
  export function Component(): null {
    const { data, send } = useRequest<{ n: number }, string>("/n");
    useEvent<string>("x", (text) => void text.length);
    void [data?.n, send("x")];
    return null;
  }
  export type C = ContractOf<Record<never, never>>;
`;

/** Compilers: 5.9, the last in JavaScript, and 7, which has no resolution node10. */
const [TSC_5, TSC_7] = ["typescript", "typescript-7"].map((name) => resolve("node_modules", name, "bin/tsc")) as [string, string];

/** Compiles a file of the project; returns the compiler's messages. */
function compile(tsc: string, file: string, options: object): string {
  const compilerOptions = {
    target: "es2022", lib: ["es2022", "dom"], types: ["react"],
    strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false, ...options,
  };
  packed.write("tsconfig.json", JSON.stringify({ compilerOptions, files: [file] }));
  try {
    return run("node", tsc, "--pretty", "false", "--project", packed.folder);
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

test.each([
  ["5.9", TSC_5, "nodenext", "nodenext", "mts"],
  ["5.9", TSC_5, "nodenext", "nodenext", "cts"],
  ["5.9", TSC_5, "esnext", "bundler", "ts"],
  ["5.9", TSC_5, "commonjs", "node10", "ts"],
  ["7", TSC_7, "nodenext", "nodenext", "mts"],
  ["7", TSC_7, "nodenext", "nodenext", "cts"],
  ["7", TSC_7, "esnext", "bundler", "ts"],
])("has types for TypeScript %s, module %s %s, resolution %s, as .%s", (_, tsc, module, moduleResolution, extension) => {
  packed.write(`use.${extension}`, TYPED);
  expect(compile(tsc, `use.${extension}`, { module, moduleResolution })).toBe("");
});

test("a program that is compiled with the resolution node10 runs", () => {
  packed.write("old.ts", `import { Message } from "switchboard-sdk/mesa"; console.log(new Message(0, {}, "X").serialize());`);
  expect(compile(TSC_5, "old.ts", { module: "commonjs", moduleResolution: "node10", noEmit: false, lib: ["es2022", "dom"] })).toBe("");
  expect(run("node", "old.js")).toBe('{"op":0,"d":{},"t":"X"}\n');
});

/** Mistakes, each with words that the compiler's message must contain. */
const MISTAKES: [mistake: string, words: string][] = [
  [`client.emit("/messages", { text: "hi" })`, `"/message"`],
  [`client.emit("/message", { txt: "hi" })`, "'txt' does not exist in type '{ text: string; }'"],
  [`client.emit("/message", { text: 5 })`, "'number' is not assignable to type 'string'"],
  [`client.emit("/message")`, "arguments, but got 1"],
  [`client.request("/joined", { username: "Ann" })`, `"/join"`],
  [`client.request("/joined")`, `"/join"`],
  [`client.ns("/game").request("/moved")`, `"/move"`],
  [`client.emit("/messages")`, `"/message"`],
  [`client.request("/join", { name: "Ann" })`, "'name' does not exist in type '{ username: string; }'"],
  [`client.request("/join", { username: 7 })`, "'number' is not assignable to type 'string'"],
  [`client.on("messages", () => {})`, `"message"`],
  [`client.on("message", ({ txt }) => txt)`, "Property 'txt' does not exist on type '{ username: string; text: string; }'"],
  [`client.on("@disconnect", ({ cod }) => cod)`, "Property 'cod' does not exist on type 'StateChange'"],
  [`client.handle("/ready?", () => "yes")`, "'string' is not assignable to type 'boolean | Promise<boolean>'"],
  [`client.ns("/game").request("/move", ["e2"])`, "'string' is not assignable to type 'number'"],
  [`game.emitEvent("mov", { from: "e2", to: "e4" })`, `"move"`],
  [`game.emitEvent("mov")`, `"move"`],
  [`game.emitEvent("move", { from: "e2" })`, "Property 'to' is missing in type '{ from: string; }'"],
  [`game.emitEvent("move", { from: "e2", to: 4 })`, "'number' is not assignable to type 'string'"],
  [`game.on("move", ({ too }) => too)`, "Property 'too' does not exist on type"],
  [`game.setUserInfo({ nickname: "Ann" })`, "'nickname' does not exist in type '{ name: string; }'"],
  [`game.connectedClients[0]?.userInfo.nickname`, "Property 'nickname' does not exist on type"],
  [`hooks.useRequest("/joined")`, `"/join"`],
  [`hooks.useRequest("/join").send({ name: "Ann" })`, "'name' does not exist in type '{ username: string; }'"],
  [`hooks.useRequest("/join").send()`, "Expected 1 arguments, but got 0"],
  [`hooks.useEvent("message", ({ txt }) => txt)`, "Property 'txt' does not exist on type '{ username: string; text: string; }'"],
  [`new EmitClient("ws://x", { reConnect: true })`, "did you mean to write 'reconnect'"],
];

test.each([["5.9", TSC_5], ["7", TSC_7]])("TypeScript %s explains mistakes, and blames the name only if the name is wrong", (_, tsc) => {
  const setup = `
    import { EmitClient } from "switchboard-sdk/client"; import { Dispatch } from "switchboard-sdk/dispatch";
    import { createEmitHooks } from "switchboard-sdk/react";
    interface Chat {
      emits: { "/message": { text: string } };
      requests: { "/join": { data: { username: string }; reply: { joined: true } }; "/game/move": { data: [number, number]; reply: null } };
      events: { message: { username: string; text: string } };
      serverRequests: { "/ready?": { data: { round: number }; reply: boolean } };
    }
    interface Game { events: { move: { from: string; to: string } }; userInfo: { name: string } }
    const client = new EmitClient<Chat>("ws://x"); const game = new Dispatch<Game>(); const hooks = createEmitHooks<Chat>();
  `.replaceAll("\n", " ");
  // Line n has mistake n, from 2 on.
  packed.write("mistakes.ts", [setup, ...MISTAKES.map(([mistake]) => `${mistake};`)].join("\n"));
  const output = compile(tsc, "mistakes.ts", { module: "esnext", moduleResolution: "bundler" });
  const messages = new Map<number, string>();
  for (const [, line, message] of output.matchAll(/^mistakes\.ts\((\d+),\d+\): (.*(?:\n .*)*)/gm)) {
    messages.set(Number(line), `${messages.get(Number(line)) ?? ""}${message}\n`);
  }
  for (const [index, [mistake, words]] of MISTAKES.entries()) {
    const message = messages.get(index + 2) ?? "";
    expect(message.toLowerCase(), mistake).toContain(words.toLowerCase());
    expect(message, mistake).not.toMatch(/never|No overload/);
  }
  expect([...messages.keys()].length).toBe(MISTAKES.length);
});

test.each([
  ["import './dist/client.js'; import './dist/dispatch.js'; import './dist/mesa.js'; import './dist/devtools-mount.js'", 10],
  ["export { DISPATCH_EVENT } from './dist/dispatch.js'", 700],
  ["export { ConnectFailedError } from './dist/client.js'", 700],
])("bundles only the imported code: %s", async (contents, bytesMax) => {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: process.cwd() },
    bundle: true, minify: true, format: "esm", write: false, logLevel: "silent",
  });
  expect(outputFiles[0]?.contents.length).toBeLessThan(bytesMax);
});

test("a bundle has the devtools only if it imports them", async () => {
  const bundle = async (contents: string) => {
    const stdin = { contents, resolveDir: process.cwd() };
    const { outputFiles } = await build({ stdin, bundle: true, minify: true, format: "esm", write: false, external: ["react", "ioredis", "node:crypto"] });
    return outputFiles[0]?.text ?? "";
  };
  for (const entry of ["client", "dispatch", "mesa", "react", "server"]) {
    expect(await bundle(`export * from "./dist/${entry}.js"`), entry).not.toContain("Filter frames");
  }
  // An import without names is for its effect.
  expect(await bundle('import "./dist/devtools.js"')).toContain("Filter frames");
});

test("the devtools can be imported where there is no page", () => {
  packed.write("devtools.mjs", 'import "switchboard-sdk/devtools"; import { mount } from "switchboard-sdk/devtools/mount"; console.log(typeof mount);');
  expect(run("node", "devtools.mjs")).toBe("function\n");
  packed.write("devtools.cjs", 'require("switchboard-sdk/devtools"); console.log(typeof require("switchboard-sdk/devtools/mount").mount);');
  expect(run("node", "devtools.cjs")).toBe("function\n");
});
