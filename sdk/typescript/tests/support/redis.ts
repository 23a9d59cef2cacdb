/**
 * A Redis server for one test, on a free port: Debian's redis-server, which `./test` installs.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";

import { Redis } from "ioredis";

import { freePort } from "./server.js";

const START_TIMEOUT_MS = 20_000;

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** A client for the test's own commands. */
  readonly client: Redis;
  stop(): Promise<void>;
}

export async function startRedis(port?: number): Promise<RedisServer> {
  port ??= await freePort();
  const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", args, { stdio: "ignore" });
  const failed = new Promise<never>((_, reject) => {
    child.once("error", (cause) => reject(new Error("cannot start redis-server; install Debian's package redis-server", { cause })));
    child.once("exit", (code) => reject(new Error(`redis-server ended with ${code}`)));
  });
  failed.catch(() => {});
  await Promise.race([untilListening(port), failed]);
  const client = new Redis(port, "127.0.0.1");
  // The server may stop before the client does.
  client.on("error", () => {});
  const stop = async () => {
    client.disconnect();
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { port, url: `redis://127.0.0.1:${port}`, client, stop };
}

async function untilListening(port: number): Promise<void> {
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; ) {
    const socket = connect(port, "127.0.0.1");
    const isListening = await once(socket, "connect").then(() => true, () => false);
    socket.destroy();
    if (isListening) return;
  }
  throw new Error("redis-server does not accept connections");
}
