/**
 * A WebSocket that shows what goes over the wire, for a client that does not know of it.
 */

import { WebSocket } from "ws";

import { ReceiveQueue } from "./receiveQueue.js";

export class RecordingSocket {
  /** Messages as they came; a close as `[close 1000]`, a refusal as `[refused 400]`. */
  readonly received = new ReceiveQueue<string>();
  /** Messages as they went. */
  readonly sent = new ReceiveQueue<string>();
  socket: WebSocket | undefined;

  /** `withheld` is what a client says by itself where the test wants to say it; it does not go out. */
  constructor(readonly withheld?: string) {}

  /** The class for the client's options; it connects to `url`, whatever the client serverRequests for. */
  classFor(url: string): new (asked: string) => WebSocket {
    const tap = this;
    return class extends WebSocket {
      constructor(_asked: string) {
        super(url);
        tap.socket = this;
        this.on("message", (data) => tap.received.put(String(data)));
        this.on("close", (code) => code !== 1006 && tap.received.put(`[close ${code}]`));
        this.on("unexpected-response", (request, { statusCode }) => {
          tap.received.put(`[refused ${statusCode}]`);
          request.destroy();
          this.emit("error", new Error("refused"));
          this.emit("close", 1006, Buffer.alloc(0));
        });
      }

      override send(text: string): void {
        if (text === tap.withheld) return;
        tap.sent.put(text);
        super.send(text);
      }
    };
  }

  /** Sends what no call of the client would. */
  sendRaw(data: string | Buffer): void {
    if (this.socket) Reflect.apply(WebSocket.prototype.send, this.socket, [data]);
  }

  /** Nothing more has come: the answer to a ping is next. */
  async isQuiet(): Promise<boolean> {
    const { socket } = this;
    if (socket?.readyState !== WebSocket.OPEN) return true;
    await new Promise<void>((resolve) => {
      socket.once("pong", () => resolve());
      socket.ping();
    });
    return this.received.waiting.length === 0;
  }
}
