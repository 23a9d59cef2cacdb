// The shards of the project and their member counts, requested over HTTP.

import { byId, make } from "../dom.js";
import { countText } from "./people.js";

/** The refresh interval: the server sends no events about other shards. */
const REFRESH_INTERVAL_MS = 3000;

/** The delay before a refresh, which combines several changes. */
const REFRESH_DELAY_MS = 400;

const SHARDS_MAX = 12;
const NAME_MAX = 40;

export class Shards {
  #url;
  #seats;
  #own = null;
  #text = "";
  #isRefreshing = false;
  #timer = 0;

  constructor(url, seats) {
    this.#url = url;
    this.#seats = seats;
    setInterval(() => document.hidden || this.refreshSoon(), REFRESH_INTERVAL_MS);
  }

  /** Sets the shard of this client; null for none, which stops the requests. */
  setOwn(name) {
    this.#own = name;
    this.#text = "";
    if (name === null) byId("shards").replaceChildren();
    this.refreshSoon();
  }

  /** Requests the list after a short delay. */
  refreshSoon() {
    if (this.#own === null || this.#timer || this.#isRefreshing) return;
    this.#timer = setTimeout(() => this.#refresh(), REFRESH_DELAY_MS);
  }

  async #refresh() {
    this.#timer = 0;
    this.#isRefreshing = true;
    try {
      const response = await fetch(this.#url, { cache: "no-store" });
      if (response.ok && this.#own !== null) this.#show(await response.json());
    } catch {
      // The connection state shows that the server is down.
    } finally {
      this.#isRefreshing = false;
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
