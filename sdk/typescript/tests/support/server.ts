/**
 * The real server under test, on a free port.
 */

import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { spawnServer } from "./serverProcess.mjs";

export { freePort } from "./serverProcess.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");

export const TRANSCRIPTS = resolve(ROOT, "spec/transcripts");

/** `TEST_BINARY`, by default the debug build. */
export const BINARY = process.env["TEST_BINARY"] ?? resolve(ROOT, "target/debug/switchboard");

export interface Server {
  readonly port: number;
  /** `127.0.0.1:port` */
  readonly host: string;
  /** `ws://127.0.0.1:port` */
  readonly url: string;
  stop(): Promise<void>;
  /** Kills it, as a crash would. */
  kill(): Promise<void>;
}

/** Starts `switchboard demo`, or `serve`; `settings` are `section.key=value`. */
export async function startServer({
  port = 0,
  command = "demo",
  config,
  settings = [],
}: {
  port?: number;
  command?: "demo" | "serve";
  config?: string;
  settings?: readonly string[];
} = {}): Promise<Server> {
  const sets = settings.flatMap((setting) => ["--set", setting]);
  const configs = config ? ["--config", config] : [];
  const server = await spawnServer(BINARY, [command, "--listen", `127.0.0.1:${port}`, ...configs, ...sets]);
  const host = `127.0.0.1:${server.port}`;
  const stop = async (signal: NodeJS.Signals) => {
    await server.stop(signal);
  };
  return { port: server.port, host, url: `ws://${host}`, stop: () => stop("SIGTERM"), kill: () => stop("SIGKILL") };
}
