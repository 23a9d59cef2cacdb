// Ripples: rings that spread from a click.

import { make } from "../dom.js";
import { applyColour } from "./elements.js";

/** The duration of a ripple, the same as of its animation in the style sheet. */
const RIPPLE_MS = 1400;

/** The limit of ripples per user; the oldest is removed. */
const RIPPLES_MAX = 8;

export class Ripples {
  #layer;

  constructor(layer) {
    this.#layer = layer;
  }

  add({ id, colour }, { x, y }) {
    const own = [...this.#layer.children].filter((ripple) => ripple.dataset.by === id);
    if (own.length >= RIPPLES_MAX) own[0].remove();
    const ripple = make("span", "ripple", make("i"), make("i"), make("i"));
    ripple.dataset.by = id;
    applyColour(ripple, colour);
    ripple.style.left = `${x * 100}%`;
    ripple.style.top = `${y * 100}%`;
    this.#layer.append(ripple);
    setTimeout(() => ripple.remove(), RIPPLE_MS);
  }
}
