// How long things take: the server's own figure, and the way there and back of what we send.

import { byId } from "../dom.js";
import { milliseconds } from "../text.js";

/** Round trips in the little graph, and the measures a figure is the middle of. */
const GRAPH_MAX = 48;
const FIGURE_OF = 15;

/** The graph reaches at least this high, so that a fraction of it does not look like a peak. */
const GRAPH_LEAST_MS = 4;

/** Figures that changed with each message could not be read. */
const SHOW_EVERY_MS = 300;

/** Messages on their way; older ones are given up. */
const PENDING_MAX = 64;

export class Latency {
  #pending = new Map();
  #number = 0;
  #server = [];
  #roundTrips = [];
  #timer = 0;

  /** Notes that a message leaves now; returns the number it must bring back. */
  leave() {
    this.#number += 1;
    this.#pending.set(this.#number, performance.now());
    if (this.#pending.size > PENDING_MAX) this.#pending.delete(this.#pending.keys().next().value);
    return this.#number;
  }

  /** Notes that our message of this number is back. */
  comeBack(number) {
    const leftAt = this.#pending.get(number);
    if (leftAt === undefined) return;
    this.#pending.delete(number);
    keepLast(this.#roundTrips, performance.now() - leftAt, GRAPH_MAX);
    this.#showSoon();
  }

  /** Notes the server's figure for a message, whoever sent it. */
  serverSays(ms) {
    if (!Number.isFinite(ms) || ms < 0) return;
    keepLast(this.#server, ms, FIGURE_OF);
    this.#showSoon();
  }

  clear() {
    this.#pending.clear();
    this.#server = [];
    this.#roundTrips = [];
    this.#show();
  }

  #showSoon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#show();
    }, SHOW_EVERY_MS);
  }

  #show() {
    const roundTrip = middleOf(this.#roundTrips.slice(-FIGURE_OF));
    const server = middleOf(this.#server);
    byId("round-trip").textContent = roundTrip === undefined ? "–" : milliseconds(roundTrip);
    byId("server-latency").textContent = server === undefined ? "–" : `${Math.round(server)} ms`;
    byId("line-detail").textContent = roundTrip === undefined ? "" : milliseconds(roundTrip);
    const highest = Math.max(GRAPH_LEAST_MS, ...this.#roundTrips);
    const points = this.#roundTrips.map((ms, i) => {
      const x = 100 - (this.#roundTrips.length - 1 - i) * (100 / (GRAPH_MAX - 1));
      return `${x.toFixed(1)},${(29 - 27 * (ms / highest)).toFixed(1)}`;
    });
    byId("graph-line").setAttribute("points", points.join(" "));
  }
}

function keepLast(list, value, max) {
  list.push(value);
  if (list.length > max) list.shift();
}

function middleOf(list) {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}
