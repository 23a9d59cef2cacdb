// npm `socket.io` in the storm: the client with the interface that the storm uses, and the command of a node.

import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { WebSocket as Transport } from "engine.io-client";
import { io } from "socket.io-client";

const SERVER = resolve(dirname(fileURLToPath(import.meta.url)), "socketio-node.mjs");

/** How long a client waits for the answer to a request, in ms. */
const REQUEST_TIMEOUT_MS = 10_000;

export const command = (redisUrl) => ({ port, apiPort }) => [process.execPath, [SERVER, `${port}`, `${apiPort}`, redisUrl]];

export class SocketIoClient {
  #socket;
  #listeners = new Map();
  /** The rooms that the client has joined. */
  #rooms = new Set();

  constructor(url, { WebSocket, reconnectDelay, maxReconnectDelay }) {
    class StormTransport extends Transport {
      createSocket(uri) {
        return new WebSocket(uri);
      }
    }
    this.#socket = io(url, {
      autoConnect: false, forceNew: true, transports: [StormTransport], reconnectionDelay: reconnectDelay, reconnectionDelayMax: maxReconnectDelay,
    });
    this.#socket.on("connect", () => {
      const { recovered } = this.#socket;
      if (!recovered) this.#rooms.clear();
      this.#call("@connection", { resumed: recovered });
      if (recovered) this.#call("@recovered", { rooms: Object.fromEntries([...this.#rooms].map((room) => [room, { recovered }])) });
    });
    this.#socket.onAny((event, data) => this.#call(event, data));
  }

  get connected() {
    return this.#socket.connected;
  }

  on(event, listener) {
    this.#listeners.set(event, listener);
  }

  #call(event, data) {
    this.#listeners.get(event)?.(data);
  }

  async open() {
    if (this.connected) return;
    this.#socket.connect();
    await new Promise((resolve) => this.#socket.once("connect", resolve));
  }

  async request(event, data) {
    const reply = await this.#socket.timeout(REQUEST_TIMEOUT_MS).emitWithAck(event, data);
    this.#rooms.add(data.room);
    return reply;
  }

  async close() {
    this.#socket.disconnect();
  }
}
