/**
 * The real server under test, on a free port.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Time limits for printing the address after the start, and for exiting after a signal. */
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

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
  const args = [command, "--listen", `127.0.0.1:${port}`, ...configs, ...sets];
  const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  // A test that fails early must not leave the server running.
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
 * Returns a port that is free at this moment, for a server that restarts on the same port.
 *
 * It is below the ephemeral range, whose ports the system may assign in the meantime, and above the low
 * ports that browsers block.
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
    const fail = (reason: string) => {
      child.kill("SIGKILL");
      reject(new Error(`${BINARY}: ${reason}; its output:\n${output}`));
    };
    const timer = setTimeout(() => fail("it did not print its address"), START_TIMEOUT_MS);
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      const port = /127\.0\.0\.1:(\d+)(?=\D)/.exec(output)?.[1];
      if (!port) return;
      clearTimeout(timer);
      // Keep reading: a full pipe would block a server that logs.
      for (const stream of [child.stdout, child.stderr]) stream?.off("data", read).resume();
      resolve(Number(port));
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => {
      clearTimeout(timer);
      fail(`it exited with ${code}`);
    });
  });
}
