// bench/rolling/run builds what this needs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const SDK = resolve(ROOT, "sdk/typescript");
const require = createRequire(resolve(SDK, "package.json"));
const { WebSocket } = require("ws");
const { EmitClient } = await import(resolve(SDK, "dist/client.js"));
const { freePort, spawnServer } = await import(resolve(SDK, "tests/support/serverProcess.mjs"));

const number = { type: "string" };
const { values } = parseArgs({ options: { proxy: number, clients: number, rooms: number, messagesPerS: number, windowMs: number, rounds: number } });
const count = (name, fallback) => Number(values[name] ?? fallback);
const CLIENTS = count("clients", 200);
const ROOMS = count("rooms", 20);
const MESSAGES_PER_S = count("messagesPerS", 1000);
const WINDOW_MS = count("windowMs", 5000);
const binary = process.env["TEST_BINARY"] ?? resolve(ROOT, "target/release/switchboard");

// A run that fails or is stopped leaves no process behind.
const children = new Set();
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** Rooms keep everything that is sent during a replacement. */
const CONFIG = `
[history.rooms."load-*"]
messages_max = 100000
bytes_max = 268435456
`;

/** Time between the start of a node and the replacement of the next, in ms: a proxy notices a node within 2 s. */
const PAUSE_MS = 4000;

/** How long the start of a node may fail, in ms. */
const START_MS = 10_000;

/** How long all clients may take to receive the last messages, in ms. */
const SETTLE_MS = 30_000;

/** The width of a bar of the histogram of arrivals, in ms. */
const BAR_MS = 250;

/** A node whose process is replaced; its addresses stay. */
class Node {
  constructor(ports, redis, config) {
    Object.assign(this, ports);
    const settings = [
      `internal.listen=127.0.0.1:${ports.health}`, `redis.url=redis://127.0.0.1:${redis}`, `stop.window_ms=${WINDOW_MS}`,
      "access=open", "limits.messages_per_s=100000", 'clients.trusted_proxies=["127.0.0.1/32"]',
    ];
    this.args = ["serve", "--config", config, "--listen", `127.0.0.1:${ports.clients}`, ...settings.flatMap((setting) => ["--set", setting])];
  }

  async start() {
    // Without Redis, which may not listen yet, a node ends with an error that has another address.
    for (const end = Date.now() + START_MS; ; await sleep(100)) {
      this.process = await spawnServer(binary, this.args);
      if (this.process.port === this.clients) return;
      const { log } = await this.process.exited;
      if (Date.now() > end) throw new Error(`a node does not start:\n${log}`);
    }
  }

  stop(signal) {
    return this.process.stop(signal);
  }
}

/** Starts a proxy with the shipped configuration; only addresses and ports are replaced. */
async function startProxy(name, nodes, folder) {
  const port = await freePort();
  const file = resolve(ROOT, "deploy", name === "nginx" ? "nginx.conf" : "haproxy.cfg");
  let settings = await readFile(file, "utf8");
  settings = settings.replace(name === "nginx" ? "listen 80" : "bind :80", `${name === "nginx" ? "listen" : "bind"} 127.0.0.1:${port}`);
  nodes.forEach(({ clients, health }, n) => {
    settings = settings.replace(`node-${n + 1}:3000 port 3001`, `127.0.0.1:${clients} port ${health}`).replace(`node-${n + 1}:3000`, `127.0.0.1:${clients}`);
  });
  const path = join(folder, name);
  await writeFile(path, settings);
  const command = name === "nginx"
    ? ["/usr/sbin/nginx", ["-c", path, "-g", `daemon off; pid ${folder}/nginx.pid; error_log stderr error;`]]
    : ["/usr/sbin/haproxy", ["-db", "-f", path]];
  const child = spawn(...command, { stdio: ["ignore", "ignore", "inherit"] });
  children.add(child);
  for (;;) {
    // The proxy answers this request itself.
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.status === 404) break;
    if (child.exitCode !== null) throw new Error(`${name} does not start`);
    await sleep(50);
  }
  const stop = async () => {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    await exited;
    clearTimeout(timer);
  };
  return { url: `ws://127.0.0.1:${port}/`, stop };
}

const counts = {};
const reset = () => Object.assign(counts, { sent: 0, received: 0, lost: 0, doubled: 0, moves: 0, newSessions: 0, cuts: 0 });

/** Connects through the proxy, and follows what happens to the connection. */
async function connect(url, moves) {
  const client = new EmitClient(url, { WebSocket, reconnect: true, reconnectDelay: 50, maxReconnectDelay: 1000, maxRetries: Infinity });
  await client.open({ retry: true });
  client.on("@reconnect", ({ resumed }) => {
    counts.moves++;
    moves.push(Date.now());
    if (!resumed) counts.newSessions++;
  });
  client.on("@disconnect", () => counts.cuts++);
  return client;
}

/** A member of a room that checks the numbers of its messages. */
class Receiver {
  constructor(client, room) {
    Object.assign(this, { client, room, last: 0 });
    client.on("message", ({ n, at }) => {
      counts.received++;
      this.latencies?.push(Date.now() - at);
      if (n <= this.last) counts.doubled++;
      else {
        counts.lost += n - this.last - 1;
        this.last = n;
      }
    });
  }

  join() {
    return this.client.request("/join", { room: this.room.name });
  }
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

/** The number of arrivals in each interval since `from`. */
function histogram(moves, from) {
  const bars = [];
  for (const at of moves.filter((at) => at >= from)) {
    const bar = Math.floor((at - from) / BAR_MS);
    while (bars.length <= bar) bars.push(0);
    bars[bar]++;
  }
  return bars;
}

async function replaceUnderLoad(name) {
  reset();
  const folder = await mkdtemp(join(tmpdir(), "rolling-"));
  const config = join(folder, "switchboard.toml");
  await writeFile(config, CONFIG);
  const redisPort = await freePort();
  const redis = spawn("redis-server", ["--port", `${redisPort}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: "ignore" });
  children.add(redis);
  const nodes = [];
  for (let n = 0; n < 2; n++) nodes.push(new Node({ clients: await freePort(), health: await freePort() }, redisPort, config));
  await Promise.all(nodes.map((node) => node.start()));
  const proxy = await startProxy(name, nodes, folder);
  const moves = [];
  const rooms = Array.from({ length: ROOMS }, (_, n) => ({ name: `load-${n}`, next: 1 }));
  const receivers = [];
  for (let n = 0; n < CLIENTS; n++) {
    const receiver = new Receiver(await connect(proxy.url, moves), rooms[n % ROOMS]);
    await receiver.join();
    receivers.push(receiver);
  }
  for (const room of rooms) room.sender = await connect(proxy.url, moves);

  let isOver = false;
  const latencies = [];
  for (const receiver of receivers) receiver.latencies = latencies;
  const load = (async () => {
    const begun = Date.now();
    while (!isOver) {
      const due = Math.floor(((Date.now() - begun) * MESSAGES_PER_S) / 1000);
      for (; counts.sent < due; counts.sent++) {
        const room = rooms[counts.sent % ROOMS];
        room.sender.emit("/message", { room: room.name, n: room.next++, at: Date.now() });
      }
      await sleep(10);
    }
  })();

  const replacements = [];
  await sleep(PAUSE_MS);
  for (const node of nodes) {
    const from = Date.now();
    await node.stop("SIGTERM");
    const stopMs = Date.now() - from;
    await node.start();
    await sleep(PAUSE_MS);
    replacements.push({ stopMs, arrivals: histogram(moves, from) });
  }
  isOver = true;
  await load;
  const behind = () => receivers.filter(({ room, last }) => last !== room.next - 1).length;
  for (const end = Date.now() + SETTLE_MS; behind() && Date.now() < end; ) await sleep(50);
  for (const { room, last } of receivers) counts.lost += room.next - 1 - last;

  latencies.sort((a, b) => a - b);
  const latencyMs = { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), max: latencies.at(-1) };
  console.log(JSON.stringify({ proxy: name, ...counts, latencyMs, barMs: BAR_MS, replacements }));
  await Promise.all([...receivers, ...rooms].map(({ client, sender }) => (client ?? sender).close({ timeout: 1000 })));
  await proxy.stop();
  await Promise.all(nodes.map((node) => node.stop("SIGKILL")));
  redis.kill("SIGKILL");
  await rm(folder, { recursive: true });
  return !counts.lost && !counts.doubled && !counts.newSessions;
}

let isSound = true;
for (let round = 0; round < count("rounds", 1); round++) {
  for (const name of (values.proxy ?? "nginx,haproxy").split(",")) isSound = (await replaceUnderLoad(name)) && isSound;
}
process.exit(isSound ? 0 : 1);
