// bench/storm/run builds what this needs. Options are those of `storm`, as --name value.

import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const SDK = resolve(ROOT, "sdk/typescript");
const require = createRequire(resolve(SDK, "package.json"));
const { WebSocket } = require("ws");
const { EmitClient } = await import(resolve(SDK, "dist/client.js"));
const { storm } = await import(resolve(SDK, "tests/support/storm.mjs"));
const { DisturbedRedis } = await import("./redis.mjs");

const number = { type: "string" };
const { values } = parseArgs({
  options: { clients: number, rooms: number, messagesPerS: number, seconds: number, cutMs: number, cutsPerS: number, nodes: number, killEveryMs: number, redisEveryMs: number, seed: number, rounds: number, redis: { type: "boolean" }, server: number, disturbances: number },
});
const { redis: withRedis, disturbances, server = "switchboard", rounds = "1", seed = "1", ...numbers } = values;
const options = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value)]));
const binary = process.env["TEST_BINARY"] ?? resolve(ROOT, "target/release/switchboard");

if (!["switchboard", "socket.io"].includes(server)) throw new Error(`--server is switchboard or socket.io, not ${server}`);
const socketIo = server === "socket.io" ? await import("./socketio.mjs") : undefined;
if (socketIo && !withRedis) throw new Error("socket.io needs --redis: its history is a stream");

let isSound = true;
for (let round = 0; round < Number(rounds); round++) {
  const redis = withRedis ? new DisturbedRedis(disturbances?.split(",")) : undefined;
  await redis?.start();
  const disturbed = redis && { url: redis.url, disturb: (random) => redis.disturb(random) };
  const nodes = options.nodes ?? (redis ? 2 : 1);
  const peer = socketIo && { EmitClient: socketIo.SocketIoClient, command: socketIo.command(redis.url) };
  const counts = await storm({ EmitClient, WebSocket, binary, ...peer, ...options, nodes, redis: disturbed, seed: Number(seed) + round, log: (line) => console.error(line) });
  await redis?.stop();
  console.log(JSON.stringify({ server, round, seed: Number(seed) + round, ...counts, redis: redis?.counts }));
  isSound &&= !counts.falseRecovered && !counts.doubles && !counts.behind && !counts.crashes;
}
process.exit(isSound ? 0 : 1);
