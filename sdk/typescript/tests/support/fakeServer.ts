/**
 * A WebSocket server that does what the real one never would: for bad frames, silence and closes.
 */

import { once } from "node:events";
import type { AddressInfo } from "node:net";

import { WebSocketServer, type WebSocket } from "ws";

import { ReceiveQueue } from "./receiveQueue.js";

export class FakeServer {
  readonly #server: WebSocketServer;
  /** Sockets as they connect. */
  readonly sockets = new ReceiveQueue<FakePeer>();

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on("connection", (socket, { url = "" }) => this.sockets.put(new FakePeer(socket, url)));
  }

  static async start(port = 0): Promise<FakeServer> {
    const server = new WebSocketServer({ port, host: "127.0.0.1" });
    await once(server, "listening");
    return new FakeServer(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** One client as the fake server sees it. */
export class FakePeer {
  /** What the client sent, in order. */
  readonly frames = new ReceiveQueue<string>();
  readonly closed: Promise<number>;

  constructor(
    readonly socket: WebSocket,
    /** Path and query. */
    readonly url: string,
  ) {
    socket.on("message", (data) => this.frames.put(String(data)));
    this.closed = once(socket, "close").then(([code]: number[]) => code ?? 0);
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The next frame as JSON. */
  async next<T = Record<string, unknown>>(): Promise<T> {
    return JSON.parse(await this.frames.next()) as T;
  }

  /** As Koji's server greets. */
  greet(clientId = "me", shardName = "shard-1"): void {
    this.send({ eventName: "@@KOJI_DISPATCH/CONNECTED", payload: { clientId, shardName }, latencyMs: 0 });
  }
}
