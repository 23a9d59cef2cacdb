// A Redis server with a replica, behind one address. It is restarted, paused, wiped and failed over at random.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const SDK = resolve(dirname(fileURLToPath(import.meta.url)), "../../sdk/typescript");
const { Redis } = createRequire(resolve(SDK, "package.json"))("ioredis");
const { freePort } = await import(resolve(SDK, "tests/support/serverProcess.mjs"));

// A storm that fails or is stopped leaves no process behind.
const children = new Set();
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** One process. */
class RedisProcess {
  static async start(port, replicaOf) {
    const server = new RedisProcess();
    const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
    const replication = replicaOf ? ["--replicaof", `127.0.0.1 ${replicaOf}`] : [];
    server.port = port;
    // A replica receives its data in a file.
    server.folder = await mkdtemp(join(tmpdir(), "storm-redis-"));
    server.process = spawn("redis-server", [...args, "--dir", server.folder, ...replication], { stdio: "ignore" });
    children.add(server.process);
    server.client = new Redis(port, "127.0.0.1");
    server.client.on("error", () => {});
    await server.client.ping();
    return server;
  }

  async stop() {
    this.client.disconnect();
    const exited = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exited;
    children.delete(this.process);
    await rm(this.folder, { recursive: true });
  }
}

export class DisturbedRedis {
  #sockets = new Set();

  /** `only` names the disturbances; without it there are all. */
  constructor(only) {
    this.only = only;
  }
  counts = { restarted: 0, paused: 0, wiped: 0, failedOver: 0 };

  async start() {
    this.proxy = createServer((near) => this.#join(near));
    this.proxy.listen(0, "127.0.0.1");
    await once(this.proxy, "listening");
    this.url = `redis://127.0.0.1:${this.proxy.address().port}`;
    this.primary = await RedisProcess.start(await freePort());
    await this.#addReplica();
  }

  async stop() {
    this.proxy.close();
    this.#cut();
    await Promise.all([this.primary.stop(), this.replica.stop()]);
  }

  async disturb(random) {
    const kinds = { restarted: () => this.#restart(random), paused: () => this.#pause(random), wiped: () => this.#wipe(), failedOver: () => this.#failOver(random) };
    const names = Object.keys(kinds).filter((name) => !this.only || this.only.includes(name));
    const name = names[Math.floor(random() * names.length)];
    await kinds[name]();
    this.counts[name]++;
    return name;
  }

  async #restart(random) {
    const { port } = this.primary;
    await this.primary.stop();
    await sleep(random() * 3000);
    this.primary = await RedisProcess.start(port);
  }

  async #pause(random) {
    await this.primary.client.call("CLIENT", "PAUSE", `${Math.floor(random() * 5000)}`, "ALL");
  }

  async #wipe() {
    await this.primary.client.flushall();
  }

  /** The replica becomes the primary. What it had not received is lost; the old primary may answer for a moment. */
  async #failOver(random) {
    const old = this.primary;
    await this.replica.client.replicaof("NO", "ONE");
    await sleep(random() * 1000);
    this.primary = this.replica;
    this.#cut();
    await old.stop();
    await this.#addReplica();
  }

  async #addReplica() {
    this.replica = await RedisProcess.start(await freePort(), this.primary.port);
    const isConnected = async () => (await this.replica.client.info("replication")).includes("master_link_status:up");
    for (const end = Date.now() + 10_000; !(await isConnected()) && Date.now() < end; ) await sleep(50);
  }

  #cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(near) {
    const far = connect(this.primary.port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]]) {
      this.#sockets.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.setNoDelay();
      from.pipe(to);
    }
  }
}
