/**
 * The real server under test, on a free port.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** How long the binary may take to print where it listens, or to end when told to. */
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");

export const TRANSCRIPTS = resolve(ROOT, "spec/transcripts");

/** `TEST_BINARY`, or what `cargo build` leaves. */
export const BINARY = process.env["TEST_BINARY"] ?? resolve(ROOT, "target/debug/switchboard");

export interface Server {
  readonly port: number;
  /** `127.0.0.1:port` */
  readonly host: string;
  /** `ws://127.0.0.1:port` */
  readonly url: string;
  stop(): Promise<void>;
  /** Ends it as a crash would. */
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
  const args = [command, "--listen", `127.0.0.1:${port}`, ...configs, ...sets];
  const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  // A test that ends early must leave no server behind.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  const bound = await listeningPort(child);
  const stop = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    child.kill(signal);
    await ended;
    clearTimeout(timer);
  };
  const host = `127.0.0.1:${bound}`;
  return { port: bound, host, url: `ws://${host}`, stop: () => stop("SIGTERM"), kill: () => stop("SIGKILL") };
}

/**
 * A port nobody listens on at this moment, for a server that must come back on the same one.
 *
 * It is below those that the system gives out by itself: one of these may be anybody's by then. Browsers
 * refuse some that are lower still.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer().listen(port, "127.0.0.1");
    const isFree = await once(probe, "listening").then(() => true, () => false);
    if (!isFree) continue;
    probe.close();
    await once(probe, "close");
    return port;
  }
}

function listeningPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (why: string) => {
      child.kill("SIGKILL");
      reject(new Error(`${BINARY}: ${why}; it printed:\n${output}`));
    };
    const timer = setTimeout(() => fail("it did not say where it listens"), START_TIMEOUT_MS);
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      const port = /127\.0\.0\.1:(\d+)(?=\D)/.exec(output)?.[1];
      if (!port) return;
      clearTimeout(timer);
      // Reading goes on: a full pipe would stop a server that logs.
      for (const stream of [child.stdout, child.stderr]) stream?.off("data", read).resume();
      resolve(Number(port));
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => {
      clearTimeout(timer);
      fail(`it ended with ${code}`);
    });
  });
}
