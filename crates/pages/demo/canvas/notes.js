// Notes at the edge of the sheet: joins, leaves and waves.

import { byId, make } from "../dom.js";
import { badge, copyOf } from "./elements.js";

const NOTE_MS = 5000;
const WAVE_MS = 9000;

/** The limit of notes; the oldest is removed. */
const NOTES_MAX = 4;

export class Notes {
  #list = byId("notes");

  add(person, action) {
    const note = make("li", "note-card", badge(person.name, person.colour), " ");
    note.append(description(person, action));
    this.#append(note, NOTE_MS);
  }

  /** Shows a wave, once per user. The note has a button that calls `onWaveBack`. */
  wave(person, onWaveBack) {
    for (const { dataset } of this.#list.children) if (dataset.waver === person.id) return;
    const note = make("li", "note-card is-wave", badge(person.name, person.colour), " ");
    note.dataset.waver = person.id;
    const back = make("button", "small", "Wave back");
    back.type = "button";
    back.addEventListener("click", () => {
      onWaveBack();
      note.remove();
      byId("sheet").focus({ preventScroll: true });
    });
    note.append(description(person, "waves to you"), copyOf("hand-template"), back);
    this.#append(note, WAVE_MS);
  }

  clear() {
    this.#list.replaceChildren();
  }

  #append(note, durationMs) {
    this.#list.append(note);
    while (this.#list.childElementCount > NOTES_MAX) this.#list.firstElementChild.remove();
    const removeLater = () => setTimeout(() => {
      // A note stays while the pointer or the focus is on it.
      if (note.matches(":hover, :focus-within")) removeLater();
      else note.remove();
    }, durationMs);
    removeLater();
  }
}

function description({ name }, action) {
  return make("span", "note-words", make("bdi", "", name), ` ${action}`);
}
