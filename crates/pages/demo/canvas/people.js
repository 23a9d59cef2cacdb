// Who is on this shard: a row for each, a wave behind it, and the seats still free.

import { byId, make } from "../dom.js";
import { colour, personName } from "./checks.js";
import { badge, copyOf } from "./elements.js";

/** People shown by name; a fuller shard says how many more there are. */
const SHOWN_MAX = 24;

/** One wave to one person in this time. */
const WAVE_EVERY_MS = 1500;

export class People {
  #list = byId("people");
  #seats;
  #on;
  #rows = new Map();
  #known = new Map();
  #self = null;

  /**
   * `seats` is the most a shard takes. `onWave` hears of a click on a person; `onCame` and
   * `onLeft` of arrivals and departures after the first list, each with the person.
   */
  constructor(seats, on) {
    this.#seats = seats;
    this.#on = on;
  }

  /** The person with this client id, if they are on our shard. */
  get(id) {
    return this.#known.get(id);
  }

  /** Everyone here but ourselves. */
  get others() {
    return [...this.#known.values()].filter(({ id }) => id !== this.#self);
  }

  /** Takes the shard's whole list: user info by client id, as it was sent. */
  update(clients, self) {
    const isFirst = this.#self !== self;
    this.#self = self;
    const before = this.#known;
    this.#known = new Map([...clients].map(([id, info]) => [id, personOf(id, info)]));
    for (const person of this.#known.values()) {
      const earlier = before.get(person.id);
      // Somebody is announced once, when they have said their name.
      person.isAnnounced = isFirst || Boolean(earlier?.isAnnounced) || person.hasName;
      if (person.isAnnounced && !isFirst && !earlier?.isAnnounced) this.#on.onCame(person);
    }
    for (const person of isFirst ? [] : before.values()) {
      if (person.isAnnounced && !this.#known.has(person.id)) this.#on.onLeft(person);
    }
    this.#show();
  }

  /** Waves to someone who is here, unless we did so a moment ago. */
  wave(id) {
    const person = this.#known.get(id);
    const row = this.#rows.get(id);
    if (!person || row?.classList.contains("is-waving") || !this.#on.onWave(person)) return;
    row?.classList.add("is-waving");
    setTimeout(() => row?.classList.remove("is-waving"), WAVE_EVERY_MS);
  }

  clear() {
    this.#known = new Map();
    this.#self = null;
    this.#show();
  }

  /** Rows stay the elements they are, so that a list that changes keeps the reader's focus. */
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

/** "3 of 4"; a shard that others opened for more just says how many are there. */
export function countText(count, seats) {
  if (count === 0) return "";
  return count <= seats ? `${count} of ${seats}` : `${count} here`;
}

function personOf(id, info) {
  const name = personName(info?.name);
  return { id, name: name || "Someone", hasName: name !== "", colour: colour(info?.colour) };
}
