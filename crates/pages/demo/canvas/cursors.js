// The cursors of other users, with their names, gliding to the latest positions.

import { make } from "../dom.js";
import { applyColour, copyOf } from "./elements.js";
import { prefersReducedMotion } from "./preferences.js";

/** The remaining distance shrinks to 37 % in this time. */
const GLIDE_MS = 55;

/** A cursor without movement turns pale after this time. */
const REST_MS = 30_000;

/** The minimum gap between a name and the edge; without it the name is shown left of the cursor. */
const LABEL_GAP_PX = 20;

export class Cursors {
  #layer;
  #size = { width: 0, height: 0 };
  #cursors = new Map();
  #scheduled = 0;
  #drawnAt = 0;

  constructor(layer) {
    this.#layer = layer;
    new ResizeObserver(([{ contentRect }]) => {
      this.#size = contentRect;
      this.#glideSoon();
    }).observe(layer);
  }

  /** Moves the cursor of a user; the first move places it. */
  move(person, { x, y }) {
    let cursor = this.#cursors.get(person.id);
    if (!cursor) {
      cursor = { element: copyOf("cursor-template"), x, y };
      this.#cursors.set(person.id, cursor);
      this.#applyOwner(cursor, person);
      this.#layer.append(cursor.element);
    }
    Object.assign(cursor, { toX: x, toY: y });
    const label = cursor.element.querySelector(".cursor-name");
    const isNearEdge = x * this.#size.width + label.offsetWidth + LABEL_GAP_PX > this.#size.width;
    cursor.element.classList.toggle("is-left", isNearEdge);
    cursor.element.classList.remove("is-resting");
    clearTimeout(cursor.rest);
    cursor.rest = setTimeout(() => cursor.element.classList.add("is-resting"), REST_MS);
    this.#glideSoon();
  }

  hide(id) {
    const cursor = this.#cursors.get(id);
    if (!cursor) return;
    clearTimeout(cursor.rest);
    cursor.element.remove();
    this.#cursors.delete(id);
  }

  /** Updates names and colours, and removes the cursors without an owner. */
  updateOwners(ownerOf) {
    for (const [id, cursor] of this.#cursors) {
      const person = ownerOf(id);
      if (person) this.#applyOwner(cursor, person);
      else this.hide(id);
    }
  }

  clear() {
    for (const id of [...this.#cursors.keys()]) this.hide(id);
  }

  #applyOwner({ element }, { name, colour }) {
    applyColour(element, colour);
    element.querySelector(".cursor-name").replaceChildren(make("bdi", "", name));
  }

  #glideSoon() {
    this.#scheduled ||= requestAnimationFrame((now) => {
      this.#scheduled = 0;
      if (this.#glide(now)) this.#glideSoon();
    });
  }

  /** Moves every cursor towards its position. Returns whether any has not arrived. */
  #glide(now) {
    const since = Math.min(100, now - this.#drawnAt);
    this.#drawnAt = now;
    const part = prefersReducedMotion() ? 1 : 1 - Math.exp(-since / GLIDE_MS);
    let moving = false;
    for (const cursor of this.#cursors.values()) {
      cursor.x += (cursor.toX - cursor.x) * part;
      cursor.y += (cursor.toY - cursor.y) * part;
      moving ||= Math.abs(cursor.toX - cursor.x) + Math.abs(cursor.toY - cursor.y) > 0.0002;
      const { width, height } = this.#size;
      cursor.element.style.transform = `translate(${cursor.x * width}px, ${cursor.y * height}px)`;
    }
    return moving;
  }
}
