// The published Sockette package, with which original Koji clients reconnect. It needs TEST_BINARY, because the
// tests stop the server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";

import Sockette from "sockette";
import { WebSocket } from "ws";

import { LIMITS, freePort, startServer } from "./server.mjs";

// Sockette uses the browser's WebSocket.
globalThis.WebSocket = WebSocket;

/** Sockette's default delay is one second. */
const PAUSE_MS = 50;

const PATH = "koji?projectId=sockette&maxConnectionsPerShard=4";

describe("a Sockette client", () => {
  let port, server, clients, cable;

  beforeEach(async () => {
    port = await freePort();
    server = await startServer(port);
    clients = [];
  });

  afterEach(async () => {
    for (const client of clients) client.sockette.close();
    cable?.close();
    await server.stop();
  });

  function connected(url = server.url) {
    const client = new Client(`${url.replace(/^http/, "ws")}${PATH}`);
    clients.push(client);
    return client;
  }

  test("reconnects after a restart of the server", LIMITS, async () => {
    const client = connected();
    const first = await client.next("connected");
    await server.stop();
    assert.equal(await client.next("closed"), 1012);
    server = await startServer(port);
    const second = await client.next("connected");
    assert.notEqual(second.clientId, first.clientId);
    assert.equal(second.shardName, "shard-1");
  });

  test("reconnects after a cut connection, with a new client id", LIMITS, async () => {
    cable = await Cable.to(port);
    const client = connected(cable.url);
    const first = await client.next("connected");
    cable.cut();
    assert.equal(await client.next("closed"), 1006);
    const second = await client.next("connected");
    assert.notEqual(second.clientId, first.clientId);
    await seats(server.url, 1);
  });

  test("does not reconnect after 1000, but after a cut connection", LIMITS, async () => {
    cable = await Cable.to(port);
    const [leaver, other] = [connected(), connected(cable.url)];
    await leaver.next("connected");
    const { clientId } = await other.next("connected");

    // Not with Sockette's `close`, which stops its timer for every code.
    leaver.socket.close(1000);
    assert.equal(await leaver.next("closed"), 1000);
    cable.cut();
    assert.equal(await other.next("closed"), 1006);
    assert.notEqual((await other.next("connected")).clientId, clientId);
    await seats(server.url, 1);
    assert.equal(leaver.attempts, 0, "the reconnect delay is over for both clients");
  });
});

/** A Sockette with its defaults, except for a shorter delay, and its events in order. */
class Client {
  attempts = 0;
  socket = null;
  #happened = [];
  #wake = () => {};

  constructor(url) {
    this.sockette = new Sockette(url, {
      timeout: PAUSE_MS,
      onopen: ({ target }) => {
        this.socket = target;
      },
      onmessage: ({ data }) => {
        const { eventName, payload } = JSON.parse(data);
        if (eventName === "@@KOJI_DISPATCH/CONNECTED") this.#note("connected", payload);
      },
      onclose: ({ code }) => this.#note("closed", code),
      onreconnect: () => {
        this.attempts += 1;
      },
    });
  }

  /** The detail of the next event of this kind; other events are skipped. */
  async next(kind) {
    for (;;) {
      while (this.#happened.length > 0) {
        const [happened, what] = this.#happened.shift();
        if (happened === kind) return what;
      }
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #note(kind, what) {
    this.#happened.push([kind, what]);
    this.#wake();
  }
}

/** A TCP relay to the server; its connections can be cut without a close frame. */
class Cable {
  #listener;
  #ends = new Set();

  static async to(port) {
    const cable = new Cable();
    cable.#listener = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      near.pipe(far).pipe(near);
      for (const end of [near, far]) {
        cable.#ends.add(end);
        end.on("error", () => {}).on("close", () => cable.#ends.delete(end));
      }
    }).listen(0, "127.0.0.1");
    await once(cable.#listener, "listening");
    return cable;
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}/`;
  }

  cut() {
    for (const end of this.#ends) end.destroy();
  }

  close() {
    this.cut();
    this.#listener.close();
  }
}

/** Waits until the server reports this number of clients. */
async function seats(url, wanted) {
  for (;;) {
    const list = await (await fetch(`${url}info/sockette`)).json();
    const sum = list.reduce((total, { numConnectedClients }) => total + numConnectedClients, 0);
    if (sum === wanted) return;
  }
}
