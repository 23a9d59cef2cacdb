// The network between a browser and a server: a TCP proxy that stops forwarding, as behind a closed lid, or cuts connections.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Network {
  #server = createServer((near) => this.#join(near));
  #pairs = new Set();
  #isDown = false;
  #target;

  static async to(port) {
    const network = new Network();
    network.pointTo(port);
    network.#server.listen(0, "127.0.0.1");
    await once(network.#server, "listening");
    return network;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Leads new connections to another server. */
  pointTo(port) {
    this.#target = port;
  }

  /** Forwards nothing from now on, and closes nothing: neither side notices. */
  goDown() {
    this.#isDown = true;
    for (const pair of this.#pairs) pair.forEach((socket) => socket.unpipe().pause());
  }

  /** Forwards new connections again. The old ones stay silent, as after a change of the address. */
  comeUp() {
    this.#isDown = false;
  }

  /** Destroys all connections without a close frame. */
  cut() {
    for (const pair of this.#pairs) pair.forEach((socket) => socket.destroy());
  }

  async close() {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near) {
    if (this.#isDown) return near.destroy();
    const pair = [near, connect(this.#target, "127.0.0.1")];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, pair.toReversed()]) {
      from.on("error", () => {});
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
