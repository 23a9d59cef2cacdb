// The project's shards and how full each is, asked of the server by HTTP.

import { byId, make } from "../dom.js";
import { countText } from "./people.js";

/** Other shards change without a word to us, so we also look by ourselves. */
const LOOK_EVERY_MS = 3000;

/** At most one look in this time, however fast people come and go. */
const LOOK_PAUSE_MS = 400;

const SHARDS_MAX = 12;
const NAME_MAX = 40;

export class Shards {
  #url;
  #seats;
  #own = null;
  #text = "";
  #isLooking = false;
  #timer = 0;

  constructor(url, seats) {
    this.#url = url;
    this.#seats = seats;
    setInterval(() => document.hidden || this.lookSoon(), LOOK_EVERY_MS);
  }

  /** The shard we are on, null for none: nothing is asked for while we are away. */
  setOwn(name) {
    this.#own = name;
    this.#text = "";
    if (name === null) byId("shards").replaceChildren();
    this.lookSoon();
  }

  /** Asks for the list again, a moment from now. */
  lookSoon() {
    if (this.#own === null || this.#timer || this.#isLooking) return;
    this.#timer = setTimeout(() => this.#look(), LOOK_PAUSE_MS);
  }

  async #look() {
    this.#timer = 0;
    this.#isLooking = true;
    try {
      const response = await fetch(this.#url, { cache: "no-store" });
      if (response.ok && this.#own !== null) this.#show(await response.json());
    } catch {
      // The connection says by itself when the server is away.
    } finally {
      this.#isLooking = false;
    }
  }

  #show(list) {
    if (!Array.isArray(list)) return;
    const text = JSON.stringify(list);
    if (text === this.#text) return;
    this.#text = text;
    const shards = list
      .filter((shard) => typeof shard?.shardName === "string" && shard.numConnectedClients > 0)
      .sort((a, b) => a.shardName.localeCompare(b.shardName, undefined, { numeric: true }));
    const rows = shards.slice(0, SHARDS_MAX).map((shard) => this.#row(shard));
    if (shards.length > SHARDS_MAX) {
      rows.push(make("li", "more", `and ${shards.length - SHARDS_MAX} more`));
    }
    byId("shards").replaceChildren(...rows);
  }

  #row({ shardName, numConnectedClients }) {
    const isOwn = shardName === this.#own;
    const name = shardName.slice(0, NAME_MAX).trim() || "no name";
    const pips = make("span", "pips");
    pips.ariaHidden = "true";
    for (let seat = 0; seat < this.#seats; seat += 1) {
      pips.append(make("i", seat < numConnectedClients ? "is-taken" : ""));
    }
    const row = make("li", "shard", make("bdi", "shard-name", name));
    if (isOwn) row.append(" ", make("span", "you", "you are here"));
    row.append(pips, " ", make("span", "shard-count", countText(numConnectedClients, this.#seats)));
    row.classList.toggle("is-own", isOwn);
    return row;
  }
}
