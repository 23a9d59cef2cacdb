/**
 * A TCP proxy in front of a server that can drop all traffic or cut connections.
 */

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isStopped = false;
  #target: number;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
  }

  static async to(port: number): Promise<TcpProxy> {
    const server = createServer();
    const cable = new TcpProxy(server, port);
    server.on("connection", (near) => cable.#join(near, connect(cable.#target, "127.0.0.1")));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return cable;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Forwards new connections to another port. */
  redirect(port: number): void {
    this.#target = port;
  }

  /** Stops forwarding on the existing connections, without closing them. */
  stopForwarding(): void {
    this.#isStopped = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Forwards new connections again; the old ones stay stopped. */
  resumeForwarding(): void {
    this.#isStopped = false;
  }

  /** Destroys all connections without a close frame. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near: Socket, far: Socket): void {
    for (const [from, to] of [[near, far], [far, near]] as const) {
      this.#sockets.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
      if (this.#isStopped) from.pause().unpipe();
    }
  }
}
