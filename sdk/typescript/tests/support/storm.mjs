// The storm: clients in rooms with a history lose their connections while messages are sent, nodes are killed and Redis is
// disturbed. Each message has a number; a client must receive each room's numbers without a hole and without a copy, or be told
// that messages may be lost, at the latest with the next message of the room that has a position. Plain JavaScript, so that bench/storm can run it with the built package.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { freePort, spawnServer } from "./serverProcess.mjs";

const KEY = "0123456789abcdef0123456789abcdef";

/** The settings of a node besides its addresses: rooms keep everything that is sent during a storm. */
const CONFIG = `
[history.rooms."*"]
messages_max = 10000
bytes_max = 67108864
age_max_s = 3600
`;

/** How long a client may take to receive the last message of its rooms, once all connections are undisturbed. */
const SETTLE_MS = 60_000;

/** Numbers from 0 to 1 that depend on the seed only (mulberry32). */
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How long the start of a node may fail, in ms. */
const START_MS = 60_000;

/** A node that is killed and started again. */
class StormNode {
  constructor(command, port, apiPort) {
    Object.assign(this, { command, port, apiPort, isUp: false });
  }

  /** Starts the process. Without Redis it ends again, and an orchestrator would start the next one. */
  async start() {
    for (const end = Date.now() + START_MS; ; await sleep(200)) {
      try {
        this.process = await spawnServer(...this.command({ port: this.port, apiPort: this.apiPort }));
        if (this.process.port === this.port) break;
        // The address in an error, that of Redis.
        await this.process.exited;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
    this.isUp = true;
    const { process } = this;
    void process.exited.then(({ code, signal, log }) => {
      // Otherwise the storm has ended it.
      if (this.isUp && this.process === process) this.failed(`a node has ended with ${code ?? signal}:\n${log}`);
    });
  }

  async stop(signal) {
    this.isUp = false;
    await this.process?.stop(signal);
  }
}

/** The command of a Switchboard node. */
function switchboard(binary, config, settings) {
  return ({ port, apiPort }) => {
    const all = [`api.listen=127.0.0.1:${apiPort}`, `api.keys=${KEY}`, ...settings];
    return [binary, ["serve", "--config", config, "--listen", `127.0.0.1:${port}`, ...all.flatMap((setting) => ["--set", setting])]];
  };
}

/** Faults that are logged one by one. */
const SHOWN_MAX = 20;

/** Messages of a room that may be lost with the node that has accepted them last. */
const UNCERTAIN = 50;

/**
 * Sends numbered messages to the rooms over the API, one after another in each room. A room stays with its node while the node runs:
 * messages that two nodes accept have no order.
 */
class Publisher {
  constructor(nodes, rooms, random) {
    Object.assign(this, { nodes, random, rooms: rooms.map((name) => ({ name, next: 1, uncertain: new Set(), isBusy: false })), sent: 0 });
  }

  async publish(room) {
    if (room.isBusy) return;
    room.isBusy = true;
    const n = room.next++;
    try {
      await this.#send(room, n);
      this.sent++;
    } catch {
      // It may have been delivered or not.
      room.uncertain.add(n);
    } finally {
      room.isBusy = false;
    }
  }

  /** Messages that a killed node has accepted may be lost before they had a number. */
  lost(node) {
    for (const room of this.rooms.filter((room) => room.node === node)) {
      for (let n = Math.max(1, room.next - UNCERTAIN); n < room.next; n++) room.uncertain.add(n);
    }
  }

  async #send(room, n) {
    if (!room.node?.isUp) {
      const up = this.nodes.filter((node) => node.isUp);
      room.node = up[Math.floor(this.random() * up.length)];
    }
    if (!room.node) throw new Error("no node");
    const answer = await fetch(`http://127.0.0.1:${room.node.apiPort}/api/v1/send`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ event: "numbered", data: { room: room.name, n }, to: { rooms: [room.name] } }),
      signal: AbortSignal.timeout(5000),
    });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${answer.status}`);
  }

  /** Sends one more message to each room, for certain. */
  async finish() {
    for (const room of this.rooms) {
      while (room.isBusy) await sleep(20);
      for (let isSent = false; !isSent; ) {
        const n = room.next++;
        isSent = await this.#send(room, n).then(() => true, () => false);
        if (isSent) this.sent++;
        else room.uncertain.add(n), await sleep(100);
      }
    }
  }
}

/** A client whose connection is cut, and what it has received. */
class StormClient {
  constructor(world, rooms) {
    Object.assign(this, { world, isOffline: false, sockets: new Set() });
    // `mayJump`: the client was told that messages of the room may be lost, or has not joined it yet.
    this.rooms = new Map(rooms.map((room) => [room.name, { room, last: undefined, holes: [], mayJump: true, isJoined: false }]));
    const client = (this.client = new world.EmitClient("ws://127.0.0.1:1/", {
      WebSocket: this.#webSocket(),
      reconnect: true,
      reconnectDelay: 20,
      maxReconnectDelay: 500,
      maxRetries: Infinity,
    }));
    client.on("numbered", ({ room, n }) => this.#received(this.rooms.get(room), n));
    client.on("@recovered", ({ rooms: outcomes }) => {
      for (const [name, { recovered }] of Object.entries(outcomes)) {
        world.counts[recovered ? "recovered" : "declared"]++;
        if (!recovered) this.#mayJump(name);
      }
    });
    client.on("@gap", ({ room }) => {
      world.counts.gaps++;
      if (room) this.#mayJump(room);
      else for (const name of this.rooms.keys()) this.#mayJump(name);
    });
    client.on("@connection", ({ resumed }) => {
      world.counts[resumed ? "resumed" : "newSessions"]++;
      // A new session is in no room, and everything before it may be lost.
      if (!resumed) {
        for (const [name, room] of this.rooms) {
          room.isJoined = false;
          this.#mayJump(name);
        }
      }
      void this.#join();
    });
    client.on("@error", () => {});
  }

  /** A WebSocket that connects to a random node, or to nothing while the client is offline. */
  #webSocket() {
    const { WebSocket, nodes, random } = this.world;
    const owner = this;
    return class extends WebSocket {
      constructor(href, ...rest) {
        const url = new URL(href);
        const up = nodes.filter((node) => node.isUp);
        url.port = owner.isOffline || !up.length ? "1" : `${up[Math.floor(random() * up.length)].port}`;
        super(url.href, ...rest);
        owner.sockets.add(this);
        this.on("close", () => owner.sockets.delete(this));
      }
    };
  }

  async #join() {
    for (const [name, state] of this.rooms) {
      if (state.isJoined) continue;
      // Before the answer, which messages may precede. A lost connection ends this; the next one continues.
      const isJoined = await this.client.request("/join", { room: name }).then(() => true, () => false);
      if (!isJoined) return;
      state.isJoined = true;
    }
  }

  #mayJump(name) {
    const state = this.rooms.get(name.replace(/^#/, ""));
    if (!state) return;
    state.mayJump = true;
    // A loss while Redis is away is announced with the next message that has a position; messages without one may come before.
    this.world.counts.declaredLate += state.holes.length;
    state.holes = [];
  }

  /** Counts the holes of which the client was not told. */
  countSilentHoles() {
    for (const { room, holes } of this.rooms.values()) {
      for (const { missing, at } of holes) {
        if (this.world.counts.falseRecovered++ < SHOWN_MAX) this.world.log(`${room.name}: ${missing} is missing in silence, since ${((Date.now() - at) / 1000).toFixed(1)} s ago`);
      }
    }
  }

  #received(state, n) {
    const { counts } = this.world;
    counts.received++;
    const { last, mayJump, room } = state;
    if (last !== undefined && n <= last) {
      if (counts.doubles++ < SHOWN_MAX) this.world.log(`${room.name}: ${n} has arrived behind ${last}`);
    } else if (last !== undefined && !mayJump) {
      for (let missing = last + 1; missing < n; missing++) {
        if (!room.uncertain.has(missing)) state.holes.push({ missing, at: Date.now() });
      }
    }
    state.last = n;
    state.mayJump = false;
  }

  async cut(ms) {
    if (this.isOffline) return;
    this.world.counts.cuts++;
    this.isOffline = true;
    for (const socket of this.sockets) socket.terminate();
    await sleep(ms, undefined, { ref: false });
    this.isOffline = false;
  }

  /** Rooms of which the last message has not arrived. */
  behind() {
    return [...this.rooms.values()].filter(({ room, last }) => last !== room.next - 1).length;
  }
}

/**
 * Runs a storm and returns what it has counted. `falseRecovered`, `doubles` and `behind` must be 0. `redis` has the URL, and may
 * have `disturb`, which is called every `redisEveryMs`. `command` returns the command of a node of another server, by its ports; that
 * server has the same API as far as the storm uses it, and a client of it is passed in place of `EmitClient`.
 */
export async function storm({
  EmitClient,
  WebSocket,
  binary,
  clients: clientCount = 1000,
  rooms: roomCount = 100,
  roomsOfClient = 3,
  messagesPerS = 50,
  seconds = 60,
  cutMs = 30_000,
  cutsPerS = 20,
  nodes: nodeCount = 1,
  killEveryMs = 20_000,
  redis,
  redisEveryMs = 15_000,
  seed = 1,
  settings = [],
  command,
  log = () => {},
}) {
  const random = randomNumbers(seed);
  const counts = { received: 0, cuts: 0, kills: 0, crashes: 0, disturbances: 0, resumed: 0, newSessions: 0, recovered: 0, declared: 0, gaps: 0, declaredLate: 0, falseRecovered: 0, doubles: 0 };
  const backplane = redis ? [`redis.url=${redis.url}`] : [];
  const folder = await mkdtemp(join(tmpdir(), "storm-"));
  const config = join(folder, "storm.toml");
  await writeFile(config, CONFIG);
  const nodes = [];
  for (let n = 0; n < nodeCount; n++) {
    nodes.push(new StormNode(command ?? switchboard(binary, config, [...backplane, ...settings]), await freePort(), await freePort()));
  }
  const begun = Date.now();
  const logAt = (line) => log(`${((Date.now() - begun) / 1000).toFixed(1)} s: ${line}`);
  const world = { EmitClient, WebSocket, nodes, random, counts, log: logAt };
  const names = Array.from({ length: roomCount }, (_, n) => `room-${n}`);
  const publisher = new Publisher(nodes, names, random);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const clients = [];
  let isOver = false;
  const background = [];
  const every = (ms, action) => {
    const run = async () => {
      for (;;) {
        await sleep(ms);
        if (isOver) return;
        await action();
      }
    };
    background.push(run());
  };
  try {
    for (const node of nodes) {
      node.failed = (why) => {
        node.isUp = false;
        counts.crashes++;
        logAt(why);
      };
    }
    await Promise.all(nodes.map((node) => node.start()));
    for (let n = 0; n < clientCount; n++) {
      const rooms = new Set(Array.from({ length: roomsOfClient }, () => pick(publisher.rooms)));
      clients.push(new StormClient(world, [...rooms]));
    }
    for (let n = 0; n < clients.length; n += 50) {
      await Promise.all(clients.slice(n, n + 50).map(({ client }) => client.open({ retry: true })));
    }
    log(`${clients.length} clients are connected to ${nodes.length} nodes`);
    every(1000 / messagesPerS, () => void publisher.publish(pick(publisher.rooms)));
    every(1000 / cutsPerS, () => void pick(clients).cut(random() * cutMs));
    if (killEveryMs) {
      every(killEveryMs, async () => {
        const node = pick(nodes);
        counts.kills++;
        logAt("a node is killed");
        await node.stop("SIGKILL");
        publisher.lost(node);
        await node.start();
      });
    }
    if (redis?.disturb && redisEveryMs) {
      every(redisEveryMs, async () => {
        counts.disturbances++;
        logAt(`Redis: ${(await redis.disturb(random)) ?? "disturbed"}`);
      });
    }
    for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
      await sleep(Math.min(5000, Math.max(0, end - Date.now())));
      logAt(JSON.stringify(counts));
    }
    isOver = true;
    await Promise.all(background);
    for (const client of clients) client.isOffline = false;
    await Promise.all(clients.map(({ client }) => client.open({ retry: true })));
    const areJoined = () => clients.every(({ client, rooms }) => client.connected && [...rooms.values()].every(({ isJoined }) => isJoined));
    for (const end = Date.now() + SETTLE_MS; !areJoined() && Date.now() < end; ) await sleep(50);
    await publisher.finish();
    let behind = 0;
    for (const end = Date.now() + SETTLE_MS; Date.now() < end; await sleep(50)) {
      behind = clients.reduce((sum, client) => sum + client.behind(), 0);
      if (!behind) break;
    }
    for (const client of clients) client.countSilentHoles();
    for (const client of clients) client.countSilentHoles();
    return { ...counts, sent: publisher.sent, behind };
  } finally {
    isOver = true;
    await Promise.all(clients.map(({ client }) => client.close({ timeout: 1000 })));
    await Promise.all(nodes.map((node) => node.stop("SIGKILL")));
    await rm(folder, { recursive: true });
  }
}
