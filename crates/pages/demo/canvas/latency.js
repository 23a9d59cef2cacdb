// Latencies: the server's own figure, and the round trip of our messages.

import { byId } from "../dom.js";
import { milliseconds } from "../text.js";

/** The number of round trips in the graph, and of measurements in a median. */
const GRAPH_MAX = 48;
const MEDIAN_OF = 15;

/** The minimum height of the graph, so that small values do not look like peaks. */
const GRAPH_MIN_MS = 4;

/** The minimum interval between updates, so that figures stay readable. */
const UPDATE_INTERVAL_MS = 300;

/** The limit of pending messages; the oldest are dropped. */
const PENDING_MAX = 64;

export class Latency {
  #pending = new Map();
  #number = 0;
  #server = [];
  #roundTrips = [];
  #timer = 0;

  /** Starts the measurement of a message. Returns the number that its echo must carry. */
  start() {
    this.#number += 1;
    this.#pending.set(this.#number, performance.now());
    if (this.#pending.size > PENDING_MAX) this.#pending.delete(this.#pending.keys().next().value);
    return this.#number;
  }

  /** Ends the measurement of the message with this number. */
  finish(number) {
    const startedAt = this.#pending.get(number);
    if (startedAt === undefined) return;
    this.#pending.delete(number);
    pushLimited(this.#roundTrips, performance.now() - startedAt, GRAPH_MAX);
    this.#showSoon();
  }

  /** Records the server's figure for a message of any sender. */
  recordServer(ms) {
    if (!Number.isFinite(ms) || ms < 0) return;
    pushLimited(this.#server, ms, MEDIAN_OF);
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
    }, UPDATE_INTERVAL_MS);
  }

  #show() {
    const roundTrip = median(this.#roundTrips.slice(-MEDIAN_OF));
    const server = median(this.#server);
    byId("round-trip").textContent = roundTrip === undefined ? "–" : milliseconds(roundTrip);
    byId("server-latency").textContent = server === undefined ? "–" : `${Math.round(server)} ms`;
    byId("line-detail").textContent = roundTrip === undefined ? "" : milliseconds(roundTrip);
    const highest = Math.max(GRAPH_MIN_MS, ...this.#roundTrips);
    const points = this.#roundTrips.map((ms, i) => {
      const x = 100 - (this.#roundTrips.length - 1 - i) * (100 / (GRAPH_MAX - 1));
      return `${x.toFixed(1)},${(29 - 27 * (ms / highest)).toFixed(1)}`;
    });
    byId("graph-line").setAttribute("points", points.join(" "));
  }
}

function pushLimited(list, value, max) {
  list.push(value);
  if (list.length > max) list.shift();
}

function median(list) {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}
