// Limits the messages of cursor and ink to twenty per second.
//
// Only the latest cursor position is sent; ink is batched and complete.

/** The minimum interval between two flushes. */
const INTERVAL_MS = 50;

/** The limit of points in one message; receivers read at most 64. */
const POINTS_MAX = 48;

export class SendQueue {
  #send;
  #cursor;
  #stroke = null;
  #timer = 0;
  #sentAt = -Infinity;

  /** `send(eventName, payload)` sends one message. */
  constructor(send) {
    this.#send = send;
  }

  /** Sets the cursor position; null if it has left the sheet. */
  cursor(position) {
    this.#cursor = position === null ? { gone: true } : rounded(position);
    this.#flushSoon();
  }

  /** Adds ink to the stroke with this number. */
  ink(number, positions) {
    if (this.#stroke?.stroke !== number) this.#flushStroke();
    this.#stroke ??= { stroke: number, points: [] };
    for (const position of positions) {
      const { x, y } = rounded(position);
      this.#stroke.points.push([x, y]);
      if (this.#stroke.points.length >= POINTS_MAX) this.#flushStroke();
      this.#stroke ??= { stroke: number, points: [] };
    }
    this.#flushSoon();
  }

  #flushSoon() {
    const delay = this.#sentAt + INTERVAL_MS - performance.now();
    this.#timer ||= setTimeout(() => this.#flush(), Math.max(0, delay));
  }

  #flush() {
    this.#timer = 0;
    this.#sentAt = performance.now();
    this.#flushStroke();
    if (this.#cursor) this.#send("cursor", this.#cursor);
    this.#cursor = undefined;
  }

  #flushStroke() {
    if (this.#stroke?.points.length > 0) this.#send("stroke", this.#stroke);
    this.#stroke = null;
  }
}

/** Four digits distinguish positions on any screen, and keep messages short. */
function rounded({ x, y }) {
  return { x: Math.round(x * 1e4) / 1e4, y: Math.round(y * 1e4) / 1e4 };
}
