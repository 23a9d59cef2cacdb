/**
 * A WebSocket server under the control of the test, for malformed frames, silence and closes.
 */

import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";

import { WebSocketServer, type WebSocket } from "ws";

import { ReceiveQueue } from "./receiveQueue.js";

export class FakeServer {
  readonly #server: WebSocketServer;
  /** Connections, in order. */
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

/** The server side of one connection. */
export class FakePeer {
  /** The frames from the client, in order. */
  readonly frames = new ReceiveQueue<string>();
  readonly closed: Promise<number>;

  constructor(
    readonly socket: WebSocket,
    /** The path and query of the request. */
    readonly url: string,
  ) {
    socket.on("message", (data) => this.frames.put(String(data)));
    this.closed = once(socket, "close").then(([code]: number[]) => code ?? 0);
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Sends all frames of `send` in one segment, so that a client receives them in one read. */
  sendTogether(send: () => void): void {
    const { _socket: connection } = this.socket as unknown as { _socket: Socket };
    connection.cork();
    send();
    connection.uncork();
  }

  /** Receives the next frame and parses it as JSON. */
  async next<T = Record<string, unknown>>(): Promise<T> {
    return JSON.parse(await this.frames.next()) as T;
  }

  /** Sends CONNECTED, the first message of a Koji server. */
  sendConnected(clientId = "me", shardName = "shard-1"): void {
    this.send({ eventName: "@@KOJI_DISPATCH/CONNECTED", payload: { clientId, shardName }, latencyMs: 0 });
  }
}
