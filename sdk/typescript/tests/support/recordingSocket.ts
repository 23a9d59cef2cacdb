/**
 * A WebSocket that records the traffic of a client.
 */

import { WebSocket } from "ws";

import { ReceiveQueue } from "./receiveQueue.js";

export class RecordingSocket {
  /** Received messages; a close as `[close 1000]`, a refused upgrade as `[refused 400]`. */
  readonly received = new ReceiveQueue<string>();
  /** Sent messages. */
  readonly sent = new ReceiveQueue<string>();
  socket: WebSocket | undefined;

  /** Drops the message `withheld`, which the client sends by itself and the test sends explicitly. */
  constructor(readonly withheld?: string) {}

  /** Returns the class for the client's options; it connects to `url` whatever address the client passes. */
  classFor(url: string): new (address: string) => WebSocket {
    const recorder = this;
    return class extends WebSocket {
      constructor(_address: string) {
        super(url);
        recorder.socket = this;
        this.on("message", (data) => recorder.received.put(String(data)));
        this.on("close", (code) => code !== 1006 && recorder.received.put(`[close ${code}]`));
        this.on("unexpected-response", (request, { statusCode }) => {
          recorder.received.put(`[refused ${statusCode}]`);
          request.destroy();
          this.emit("error", new Error("refused"));
          this.emit("close", 1006, Buffer.alloc(0));
        });
      }

      override send(text: string): void {
        if (text === recorder.withheld) return;
        recorder.sent.put(text);
        super.send(text);
      }
    };
  }

  /** Sends a frame that no method of the client can produce. */
  sendRaw(data: string | Buffer): void {
    if (this.socket) Reflect.apply(WebSocket.prototype.send, this.socket, [data]);
  }

  /** Whether no further message has arrived: sends a ping and waits for its pong. */
  async isQuiet(): Promise<boolean> {
    const { socket } = this;
    if (socket?.readyState !== WebSocket.OPEN) return true;
    await new Promise<void>((resolve) => {
      socket.once("pong", () => resolve());
      socket.ping();
    });
    return this.received.pending.length === 0;
  }
}
