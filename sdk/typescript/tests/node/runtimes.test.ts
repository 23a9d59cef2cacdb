/**
 * The package as published, in Deno and Bun, against the real server. Both have a global WebSocket.
 */

import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { PackedPackage } from "../support/packedPackage.js";
import { startServer, type Server } from "../support/server.js";

let packed: PackedPackage;
let server: Server;

beforeAll(async () => {
  packed = PackedPackage.install();
  const settings = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0"];
  server = await startServer({ settings });
  packed.write("program.mjs", program(server.url));
});
afterAll(async () => {
  await server.stop();
  packed.remove();
});

function program(url: string): string {
  return `
    import { EmitClient } from "switchboard-sdk/client";
    import { Dispatch } from "switchboard-sdk/dispatch";
    import { Client } from "switchboard-sdk/mesa";

    const runtime = globalThis.Deno ? "Deno" : globalThis.Bun ? "Bun" : "another";
    const client = await EmitClient.connect("${url}");
    console.log(runtime, (await client.request("/ping")).pong);
    console.log(await client.request("/nosuch").catch(({ code, message }) => [code, message].join(": ")));

    const dispatch = new Dispatch({ projectId: runtime, host: "${url}" });
    const received = new Promise((resolve) => dispatch.on("said", resolve));
    const { shardName } = await dispatch.connect();
    dispatch.emitEvent("said", { text: "hi" });
    console.log((await received).text, (await dispatch.info())[0].shardName === shardName);

    const mesa = new Client("${url}/mesa", { autoConnect: false });
    await mesa.connect();
    console.log(await mesa.authenticate({ token: "none" }).catch(({ code, closeCode }) => [code, closeCode].join()));
    await Promise.all([client.close(), dispatch.disconnect(), mesa.disconnect()]);
    console.log(client.state, dispatch.state, mesa.state);
  `;
}

test.each([
  ["Deno", "deno", ["run", "--no-prompt", "--allow-net", "--node-modules-dir=manual", "program.mjs"]],
  ["Bun", "bun", ["run", "program.mjs"]],
])("all entries work in %s, and the program exits by itself", (name, command, args) => {
  expect(packed.run(resolve("node_modules/.bin", command), ...args).trim().split("\n")).toEqual([
    `${name} true`,
    "no_handler: No handler for: /nosuch",
    "hi true",
    "authentication_failed,1008",
    "closed closed closed",
  ]);
});
