// Rings that spread from where somebody clicked.

import { make } from "../dom.js";
import { dress } from "./elements.js";

/** How long a ripple lasts; the style sheet spreads it over the same time. */
const RIPPLE_MS = 1400;

/** Ripples of one person at once; their oldest gives way. */
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
    dress(ripple, colour);
    ripple.style.left = `${x * 100}%`;
    ripple.style.top = `${y * 100}%`;
    this.#layer.append(ripple);
    setTimeout(() => ripple.remove(), RIPPLE_MS);
  }
}
