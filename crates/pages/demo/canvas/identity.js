// Who this tab is: a name and a colour, kept as long as the tab so that two tabs can differ.

import { friendlyName } from "../text.js";
import { personName } from "./checks.js";

/** Colours that stand out on the light sheet and on the dark one, and carry white letters. */
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

  /** Whether the colour is known from before; one just picked at random may give way. */
  #isSettled;

  constructor() {
    const colour = recalled("colour");
    this.#isSettled = PALETTE.some((entry) => entry.colour === colour);
    this.#colour = this.#isSettled ? colour : oneOf(PALETTE).colour;
    this.#name = personName(recalled("name")) || friendlyName();
    remember("name", this.#name);
  }

  get name() {
    return this.#name;
  }

  get colour() {
    return this.#colour;
  }

  /** Takes a name; one with nothing to show leaves the old one. */
  rename(name) {
    this.#name = personName(name) || this.#name;
    remember("name", this.#name);
  }

  chooseColour(colour) {
    this.#colour = colour;
    this.#isSettled = true;
    remember("colour", colour);
  }

  /** Settles on a colour, one not in `taken` if it can still give way. Returns whether it did. */
  settle(taken) {
    const before = this.#colour;
    const free = PALETTE.map(({ colour }) => colour).filter((colour) => !taken.includes(colour));
    const mustMove = !this.#isSettled && free.length > 0 && taken.includes(before);
    this.chooseColour(mustMove ? oneOf(free) : before);
    return this.#colour !== before;
  }

  /** What the others are told. */
  get userInfo() {
    return { name: this.#name, colour: this.#colour };
  }
}

function oneOf(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function recalled(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Storage is switched off: it lasts as long as the page.
  }
}
