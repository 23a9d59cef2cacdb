// Small notes at the edge of the sheet: who came, who left, and who waved.

import { byId, make } from "../dom.js";
import { badge, copyOf } from "./elements.js";

const NOTE_MS = 5000;
const WAVE_MS = 9000;

/** Notes at once; the oldest gives way. */
const NOTES_MAX = 4;

export class Notes {
  #list = byId("notes");

  say(person, what) {
    const note = make("li", "note-card", badge(person.name, person.colour), " ");
    note.append(words(person, what));
    this.#add(note, NOTE_MS);
  }

  /** Someone waved to us. One note a person is enough; `onWaveBack` hears of our answer. */
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
    note.append(words(person, "waves to you"), copyOf("hand-template"), back);
    this.#add(note, WAVE_MS);
  }

  clear() {
    this.#list.replaceChildren();
  }

  #add(note, lasts) {
    this.#list.append(note);
    while (this.#list.childElementCount > NOTES_MAX) this.#list.firstElementChild.remove();
    const goLater = () => setTimeout(() => {
      // A note being read or about to be answered stays.
      if (note.matches(":hover, :focus-within")) goLater();
      else note.remove();
    }, lasts);
    goLater();
  }
}

function words({ name }, what) {
  return make("span", "note-words", make("bdi", "", name), ` ${what}`);
}
