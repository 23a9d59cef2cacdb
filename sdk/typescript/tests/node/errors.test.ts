/**
 * The classes of errors: names, codes and what a program prints of them, also in a minified bundle.
 */

import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

import * as client from "../../src/client/index.js";
import * as dispatch from "../../src/dispatch/index.js";
import * as mesa from "../../src/mesa/index.js";
import * as server from "../../src/server/index.js";

type Class = new (...values: never[]) => client.SwitchboardError;

const CLASSES = Object.entries({ ...server, ...mesa, ...dispatch, ...client })
  .filter(([name, value]) => /Error$/.test(name) && typeof value === "function" && name !== "SwitchboardError")
  .map(([name, value]) => [name, value as unknown as Class] as const);

/** The arguments after the message, where a class needs them. */
const REST: { readonly [name: string]: unknown[] } = { ApiError: ["a message", 500, 0], InvalidDataError: [[{ message: "x" }]], RateLimitedError: [250] };

test("all entries together have every class", () => {
  expect(CLASSES.map(([name]) => name).sort()).toEqual([
    "AbortedError", "ApiError", "AuthenticationFailedError", "BadDataError", "BadFrameError", "BadOptionError",
    "ConnectFailedError", "DisconnectedError", "InvalidDataError", "ListenerFailedError", "MissingDependencyError",
    "NotConnectedError", "QueueFullError", "RateLimitedError", "RedisFailedError", "RefusedError", "TimeoutError", "TokenFailedError",
    "TooLargeError", "UnsupportedError",
  ]);
});

test.each(CLASSES)("%s has its own name and code, and begins its stack with the name", (name, Class) => {
  const error = Reflect.construct(Class, ["a message", ...(REST[name] ?? [])]) as client.SwitchboardError;
  expect(error).toBeInstanceOf(client.SwitchboardError);
  expect(error.name).toBe(name);
  expect(error.stack?.split("\n")[0]).toBe(`${name}: ${error.message}`);
  if (name !== "ApiError") expect(error.code).toBe(name.replace(/Error$/, "").replace(/(?!^)[A-Z]/g, "_$&").toLowerCase());
  // A logger copies the code, and not an absent cause.
  expect(Object.keys(error)).toContain("code");
  expect("cause" in error).toBe(false);
});

test("a program that does not catch an error ends with the name and the message, also if it is minified", async () => {
  const program = `
    import { EmitClient } from "./src/client/index.ts";
    await EmitClient.connect("localhost:1", { reConnect: true });
  `;
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: process.cwd(), loader: "ts" },
    bundle: true, minify: true, format: "esm", write: false,
  });
  const { status, stderr } = spawnSync("node", ["--input-type=module", "-e", outputFiles[0]?.text ?? ""], { encoding: "utf8" });
  expect(status).toBe(1);
  // Node adds the name of the constructor if it is another one, as in a minified bundle.
  expect(stderr).toMatch(/^(\w+ \[)?BadOptionError\]?: there is no option reConnect; the options are reconnect,/m);
});
