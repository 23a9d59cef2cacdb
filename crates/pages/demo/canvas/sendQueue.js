// At most twenty messages a second, however fast the hand is.
//
// A cursor on its way is worth only its last place; ink is gathered, none of it is left out.

const EVERY_MS = 50;

/** Points in one message; the receivers read no more than 64. */
const POINTS_MAX = 48;

export class Pace {
  #send;
  #cursor;
  #stroke = null;
  #timer = 0;
  #sentAt = -Infinity;

  /** `send(eventName, payload)` puts one message on the wire. */
  constructor(send) {
    this.#send = send;
  }

  /** Where our cursor is; null when it is nowhere on the sheet. */
  cursor(place) {
    this.#cursor = place === null ? { gone: true } : rounded(place);
    this.#flushSoon();
  }

  /** Ink added to our stroke of this number. */
  ink(number, places) {
    if (this.#stroke?.stroke !== number) this.#flushStroke();
    this.#stroke ??= { stroke: number, points: [] };
    for (const place of places) {
      const { x, y } = rounded(place);
      this.#stroke.points.push([x, y]);
      if (this.#stroke.points.length >= POINTS_MAX) this.#flushStroke();
      this.#stroke ??= { stroke: number, points: [] };
    }
    this.#flushSoon();
  }

  #flushSoon() {
    const wait = this.#sentAt + EVERY_MS - performance.now();
    this.#timer ||= setTimeout(() => this.#flush(), Math.max(0, wait));
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

/** Four digits tell places on any screen apart, and keep messages short. */
function rounded({ x, y }) {
  return { x: Math.round(x * 1e4) / 1e4, y: Math.round(y * 1e4) / 1e4 };
}
