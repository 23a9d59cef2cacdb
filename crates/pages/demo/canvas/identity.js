// The name and colour of this user, stored per tab, so that two tabs can be two users.

import { friendlyName } from "../text.js";
import { personName } from "./checks.js";

/** Colours that contrast with the light and the dark sheet and with white text. */
export const PALETTE = [
  { name: "Red", colour: "#d43f4a" },
  { name: "Orange", colour: "#c05a14" },
  { name: "Ochre", colour: "#967000" },
  { name: "Green", colour: "#2a8740" },
  { name: "Teal", colour: "#0a8278" },
  { name: "Blue", colour: "#2f74d0" },
  { name: "Violet", colour: "#7b5bd6" },
  { name: "Pink", colour: "#c2419b" },
];

export class Identity {
  #name;
  #colour;

  /** Whether the user chose the colour or a shard confirmed it; a random one may still change. */
  #isFixed;

  constructor() {
    const colour = stored("colour");
    this.#isFixed = PALETTE.some((entry) => entry.colour === colour);
    this.#colour = this.#isFixed ? colour : oneOf(PALETTE).colour;
    this.#name = personName(stored("name")) || friendlyName();
    store("name", this.#name);
  }

  get name() {
    return this.#name;
  }

  get colour() {
    return this.#colour;
  }

  /** Sets the name; a name without a visible character is ignored. */
  rename(name) {
    this.#name = personName(name) || this.#name;
    store("name", this.#name);
  }

  chooseColour(colour) {
    this.#colour = colour;
    this.#isFixed = true;
    store("colour", colour);
  }

  /** Fixes the colour; a random one changes if it is in `taken`. Returns whether it changed. */
  fixColour(taken) {
    const before = this.#colour;
    const free = PALETTE.map(({ colour }) => colour).filter((colour) => !taken.includes(colour));
    const mustChange = !this.#isFixed && free.length > 0 && taken.includes(before);
    this.chooseColour(mustChange ? oneOf(free) : before);
    return this.#colour !== before;
  }

  /** The user info that the shard receives. */
  get userInfo() {
    return { name: this.#name, colour: this.#colour };
  }
}

function oneOf(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function stored(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Storage is disabled: the value is lost on reload.
  }
}
