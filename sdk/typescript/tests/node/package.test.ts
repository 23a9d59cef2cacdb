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
  import { useEvent, useRequest } from "switchboard-sdk/react";
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
    void [nothing, wrong];
    const untyped = await EmitClient.connect("ws://localhost:3000");
    const { receivers } = await untyped.request<{ receivers: number }>("/broadcast", { text: "hi" });
    untyped.on<{ text: string }>("said", ({ text }) => void (text + receivers));
    const dispatch = new Dispatch({ projectId: "p", options: { maxConnectionsPerShard: "25" } });
    dispatch.on(DISPATCH_EVENT.CONNECTED, ({ clientId }) => void clientId.length);
    const mesa = new Client("ws://localhost:4000", { autoConnect: false });
    mesa.on("message", (message) => void (message.sequence ?? 0 + message.opcode));
    const user: { id: string } = await mesa.authenticate<{ id: string }>({ token: "t" }, { shouldSync: false });
    mesa.send(new Message(0, user, "X", { sync: false }));
    const dispatcher = new Dispatcher({ host: "localhost" }, { namespace: "api", sync: { enabled: true } });
    const { inboxes }: DispatchResult = await dispatcher.dispatch(new Message(0, {}, "X"), ["1"], ["2"], { timeout: 5 });
    await dispatcher.dispatch(new DispatchEvent("DISCONNECT_CLIENT"), { users: ["1"], rooms: inboxes ? ["a"] : [] });
    // @ts-expect-error there is no such action
    new DispatchEvent("DANCE");
    const portal = new Portal("redis://localhost", { reportAllEvents: true });
    portal.on("message", ({ type, data }, clientId) => void [type?.length, data, clientId?.length]);
    portal.onAuthentication = (clientId) => void clientId.length;
    dispatch.on("x", (payload: { n: number }, { latencyMs }) => void (payload.n + latencyMs));
  }
  export function Component(): null {
    const { data, send } = useRequest<{ n: number }, string>("/n");
    useEvent<string>("x", (text) => void text.length);
    void [data?.n, send("x")];
    return null;
  }
  export type C = ContractOf<Record<never, never>>;
`;

test.each([
  ["nodenext", "nodenext", "mts"],
  ["nodenext", "nodenext", "cts"],
  ["esnext", "bundler", "ts"],
])("has types in a project of module %s, resolution %s, as .%s", (module, moduleResolution, extension) => {
  packed.write(`use.${extension}`, TYPED);
  const compilerOptions = {
    module, moduleResolution, target: "es2022", lib: ["es2022", "dom"], types: ["react"],
    strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false,
  };
  packed.write("tsconfig.json", JSON.stringify({ compilerOptions, files: [`use.${extension}`] }));
  const output = (() => {
    try {
      return run(resolve("node_modules/.bin/tsc"), "--project", packed.folder);
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  })();
  expect(output).toBe("");
});

test.each([
  ["import './dist/client.js'; import './dist/dispatch.js'; import './dist/mesa.js'", 10],
  ["export { DISPATCH_EVENT } from './dist/dispatch.js'", 700],
  ["export { ConnectFailedError } from './dist/client.js'", 700],
])("bundles only the imported code: %s", async (contents, bytesMax) => {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: process.cwd() },
    bundle: true, minify: true, format: "esm", write: false, logLevel: "silent",
  });
  expect(outputFiles[0]?.contents.length).toBeLessThan(bytesMax);
});
