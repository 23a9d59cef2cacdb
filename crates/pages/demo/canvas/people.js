// The member list of this shard, with buttons to wave, and its free seats.

import { byId, make } from "../dom.js";
import { colour, personName } from "./checks.js";
import { badge, copyOf } from "./elements.js";

/** The limit of members shown by name; the others are counted. */
const SHOWN_MAX = 24;

/** The minimum interval between waves to one user. */
const WAVE_INTERVAL_MS = 1500;

export class People {
  #list = byId("people");
  #seats;
  #on;
  #rows = new Map();
  #known = new Map();
  #self = null;

  /**
   * `seats` is the capacity of a shard. `onWave` is called with a user who is clicked; `onJoined` and
   * `onLeft` with users who join or leave after the first list.
   */
  constructor(seats, on) {
    this.#seats = seats;
    this.#on = on;
  }

  /** The user with this client id; undefined if it is not on the shard. */
  get(id) {
    return this.#known.get(id);
  }

  /** All members except this client. */
  get others() {
    return [...this.#known.values()].filter(({ id }) => id !== this.#self);
  }

  /** Takes the full member list: user info by client id, as received. */
  update(clients, self) {
    const isFirst = this.#self !== self;
    this.#self = self;
    const before = this.#known;
    this.#known = new Map([...clients].map(([id, info]) => [id, personOf(id, info)]));
    for (const person of this.#known.values()) {
      const earlier = before.get(person.id);
      // A user is announced once, when the name is known.
      person.isAnnounced = isFirst || Boolean(earlier?.isAnnounced) || person.hasName;
      if (person.isAnnounced && !isFirst && !earlier?.isAnnounced) this.#on.onJoined(person);
    }
    for (const person of isFirst ? [] : before.values()) {
      if (person.isAnnounced && !this.#known.has(person.id)) this.#on.onLeft(person);
    }
    this.#show();
  }

  /** Waves to a member, at most once per interval. */
  wave(id) {
    const person = this.#known.get(id);
    const row = this.#rows.get(id);
    if (!person || row?.classList.contains("is-waving") || !this.#on.onWave(person)) return;
    row?.classList.add("is-waving");
    setTimeout(() => row?.classList.remove("is-waving"), WAVE_INTERVAL_MS);
  }

  clear() {
    this.#known = new Map();
    this.#self = null;
    this.#show();
  }

  /** Reuses the elements of rows, so that updates keep the focus. */
  #show() {
    const people = [...this.#known.values()];
    people.sort((a, b) => (b.id === this.#self) - (a.id === this.#self));
    const shown = people.slice(0, SHOWN_MAX);
    const shownIds = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (shownIds.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const element of this.#list.querySelectorAll(".seat, .more")) element.remove();
    for (const person of shown) this.#fill(person);
    if (people.length > shown.length) {
      this.#list.append(make("li", "more", `and ${people.length - shown.length} more`));
    }
    for (let free = people.length; people.length > 0 && free < this.#seats; free += 1) {
      this.#list.append(copyOf("seat-template"));
    }
    byId("here-count").textContent = countText(people.length, this.#seats);
  }

  #fill(person) {
    const { id, name, colour } = person;
    let row = this.#rows.get(id);
    if (!row) {
      row = copyOf(id === this.#self ? "self-template" : "person-template");
      row.dataset.id = id;
      const button = row.querySelector("button");
      button?.append(copyOf("hand-template"));
      button?.addEventListener("click", () => this.wave(id));
      this.#rows.set(id, row);
      if (id === this.#self) this.#list.prepend(row);
      else this.#list.append(row);
    }
    row.querySelector(".avatar").replaceWith(badge(name, colour));
    row.querySelector(".person-name").textContent = name;
    const button = row.querySelector("button");
    if (button) button.ariaLabel = `Wave to ${name}`;
  }
}

/** "3 of 4"; only the count if another client created the shard with more seats. */
export function countText(count, seats) {
  if (count === 0) return "";
  return count <= seats ? `${count} of ${seats}` : `${count} here`;
}

function personOf(id, info) {
  const name = personName(info?.name);
  return { id, name: name || "Someone", hasName: name !== "", colour: colour(info?.colour) };
}
