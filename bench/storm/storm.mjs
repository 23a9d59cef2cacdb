// bench/storm/run builds what this needs. Options are those of `storm`, as --name value.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const SDK = resolve(ROOT, "sdk/typescript");
const require = createRequire(resolve(SDK, "package.json"));
const { WebSocket } = require("ws");
const { Redis } = require("ioredis");
const { EmitClient } = await import(resolve(SDK, "dist/client.js"));
const { storm } = await import(resolve(SDK, "tests/support/storm.mjs"));
const { freePort } = await import(resolve(SDK, "tests/support/serverProcess.mjs"));

const number = { type: "string" };
const { values } = parseArgs({
  options: { clients: number, rooms: number, messagesPerS: number, seconds: number, cutMs: number, cutsPerS: number, nodes: number, killEveryMs: number, redisEveryMs: number, seed: number, rounds: number, redis: { type: "boolean" } },
});
const { redis: withRedis, rounds = "1", seed = "1", ...numbers } = values;
const options = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value)]));
const binary = process.env["TEST_BINARY"] ?? resolve(ROOT, "target/release/switchboard");

/** A Redis server that is restarted, paused and wiped at random. */
class DisturbedRedis {
  async start() {
    this.port ??= await freePort();
    this.url = `redis://127.0.0.1:${this.port}`;
    this.process = spawn("redis-server", ["--port", `${this.port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: "ignore" });
    this.client = new Redis(this.port, "127.0.0.1");
    this.client.on("error", () => {});
    await this.client.ping();
  }

  async stop() {
    this.client.disconnect();
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }

  async disturb(random) {
    const kind = random();
    if (kind < 1 / 3) {
      await this.stop();
      await sleep(random() * 3000);
      await this.start();
    } else if (kind < 2 / 3) {
      await this.client.call("CLIENT", "PAUSE", `${Math.floor(random() * 5000)}`, "ALL");
    } else {
      await this.client.flushall();
    }
  }
}

let isSound = true;
for (let round = 0; round < Number(rounds); round++) {
  const redis = withRedis ? new DisturbedRedis() : undefined;
  await redis?.start();
  const disturbed = redis && { url: redis.url, disturb: (random) => redis.disturb(random) };
  const nodes = options.nodes ?? (redis ? 2 : 1);
  const counts = await storm({ EmitClient, WebSocket, binary, ...options, nodes, redis: disturbed, seed: Number(seed) + round, log: (line) => console.error(line) });
  await redis?.stop();
  console.log(JSON.stringify({ round, seed: Number(seed) + round, ...counts }));
  isSound &&= !counts.falseRecovered && !counts.doubles && !counts.behind;
}
process.exit(isSound ? 0 : 1);
