// The ink on the sheet. Each stroke stays for a while and then fades from its beginning.

import { prefersReducedMotion, prefersDark } from "./preferences.js";

/** A point has full width for this time, then thins out. */
const FULL_MS = 9000;
const FADE_MS = 3000;

/** The limit of points per user; the oldest are removed. */
const POINTS_MAX = 3000;

/** The width of a line as a fraction of the sheet's width, and its minimum in pixels. */
const WIDTH = 0.0052;
const WIDTH_MIN_PX = 2;

export class Ink {
  #canvas;
  #pen;
  #strokes = [];
  #scheduled = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  /**
   * Adds points to the stroke of a user with this number; the first points create it.
   *
   * `spread` is the time in ms in which the points were drawn; they appear over the same time.
   */
  add({ id, colour }, number, positions, spread = 0) {
    const now = performance.now();
    // A hidden page is not painted, so expired points are removed here too.
    this.#expire(now);
    let stroke = this.#strokes.findLast((one) => one.by === id && one.number === number);
    if (!stroke) this.#strokes.push(stroke = { by: id, number, colour, points: [] });
    const step = prefersReducedMotion() ? 0 : spread / positions.length;
    positions.forEach(({ x, y }, i) => stroke.points.push({ x, y, at: now + i * step }));
    this.#trim(id);
    this.#drawSoon();
  }

  #trim(id) {
    const strokes = this.#strokes.filter(({ by }) => by === id);
    let over = strokes.reduce((sum, { points }) => sum + points.length, -POINTS_MAX);
    for (const { points } of strokes) {
      if (over <= 0) break;
      over -= points.splice(0, over).length;
    }
  }

  #expire(now) {
    for (const { points } of this.#strokes) {
      const gone = points.findIndex(({ at }) => now - at < FULL_MS + FADE_MS);
      points.splice(0, gone < 0 ? points.length : gone);
    }
    this.#strokes = this.#strokes.filter(({ points }) => points.length > 0);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.#draw();
  }

  #drawSoon() {
    this.#scheduled ||= requestAnimationFrame(() => {
      this.#scheduled = 0;
      this.#draw();
      if (this.#strokes.length > 0) this.#drawSoon();
    });
  }

  #draw() {
    const { width, height } = this.#canvas;
    const now = performance.now();
    this.#pen.clearRect(0, 0, width, height);
    this.#pen.lineCap = this.#pen.lineJoin = "round";
    this.#expire(now);
    for (const stroke of this.#strokes) this.#drawStroke(stroke, now);
  }

  /** Draws curves through the midpoints; consecutive points of one width form one path. */
  #drawStroke({ colour, points }, now) {
    const pen = this.#pen;
    const { width, height } = this.#canvas;
    const full = Math.max(WIDTH * width, WIDTH_MIN_PX * devicePixelRatio);
    const shown = points.filter(({ at }) => at <= now)
      .map(({ x, y, at }) => ({ x: x * width, y: y * height, wide: full * widthFactor(now - at) }));
    if (shown.length === 0) return;
    pen.strokeStyle = colour;
    // A browser without `color-mix` keeps the colour above.
    if (prefersDark()) pen.strokeStyle = `color-mix(in oklab, ${colour} 80%, white)`;
    let from = shown[0];
    pen.beginPath();
    pen.lineWidth = from.wide;
    pen.moveTo(from.x, from.y);
    // A single point is a dot: a line of no length with round ends.
    pen.lineTo(from.x, from.y);
    shown.forEach((point, i) => {
      const next = shown[i + 1];
      const to = next ? middle(point, next) : point;
      if (Math.abs(point.wide - pen.lineWidth) > 0.2) {
        pen.stroke();
        pen.beginPath();
        pen.lineWidth = point.wide;
        pen.moveTo(from.x, from.y);
      }
      pen.quadraticCurveTo(point.x, point.y, to.x, to.y);
      from = to;
    });
    pen.stroke();
  }
}

/** The width factor of a point: 1 at first, then decreasing to 0. */
function widthFactor(age) {
  if (age <= FULL_MS || prefersReducedMotion()) return 1;
  const left = 1 - (age - FULL_MS) / FADE_MS;
  // The canvas ignores a width of zero and would keep the previous one.
  return Math.max(0.02, left * (2 - left));
}

function middle(a, b) {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}
