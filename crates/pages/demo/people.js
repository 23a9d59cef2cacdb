// The left of the page: who is in the room, and which of them is typing.

import { avatar, byId, make } from "./dom.js";
import { asName } from "./text.js";

/** People shown by name; a fuller room says how many more there are. */
const SHOWN_MAX = 100;

/** A typist who sends no further sign stops typing after this. */
const TYPING_MS = 3000;

export class People {
  #names = new Map();
  #typing = new Map();
  #self = null;
  #changes = null;
  #onTyping;

  /** `onTyping` hears the names of everyone typing, each time that changes. */
  constructor(onTyping) {
    this.#onTyping = onTyping;
  }

  /**
   * Replaces the list with what `answer` resolves to.
   *
   * Arrivals and departures may overtake the answer, so those seen meanwhile are applied to it
   * again. An answer that is no list (a server without `/who`) leaves what is known.
   */
  async load(answer) {
    const changes = [];
    this.#changes = changes;
    const members = await answer;
    if (this.#changes !== changes) return;
    this.#changes = null;
    if (!Array.isArray(members)) return;
    this.#names = new Map(members.map((member) => [member?.id, asName(member?.username)]));
    for (const change of changes) change();
    this.#show();
  }

  addSelf(id, name) {
    this.#self = id;
    this.add(id, name);
  }

  /** Returns the name someone had before, or undefined for a newcomer. */
  add(id, name) {
    const before = this.#names.get(id);
    this.#change(() => this.#names.set(id, name));
    return before;
  }

  /** Returns the name of who left, or undefined if nobody here had that id. */
  remove(id) {
    const before = this.#names.get(id);
    this.stopTyping(id);
    this.#change(() => this.#names.delete(id));
    return before;
  }

  clear() {
    this.#changes = null;
    this.#names.clear();
    this.stopAllTyping();
    this.#show();
  }

  knows(id) {
    return this.#names.has(id);
  }

  knowsName(name) {
    return [...this.#names.values()].includes(name);
  }

  startTyping(id) {
    clearTimeout(this.#typing.get(id));
    this.#typing.set(id, setTimeout(() => this.stopTyping(id), TYPING_MS));
    this.#showTyping();
  }

  stopTyping(id) {
    clearTimeout(this.#typing.get(id));
    if (this.#typing.delete(id)) this.#showTyping();
  }

  stopAllTyping() {
    for (const id of [...this.#typing.keys()]) this.stopTyping(id);
  }

  /** Whoever has this name has said it now: a message names its sender, but has no id. */
  stopTypingAs(name) {
    for (const id of [...this.#typing.keys()]) {
      if (this.#names.get(id) === name) this.stopTyping(id);
    }
  }

  #change(change) {
    change();
    this.#changes?.push(change);
    this.#show();
  }

  #show() {
    const everyone = [...this.#names].map(([id, name]) => ({ id, name, you: id === this.#self }));
    everyone.sort((a, b) => b.you - a.you || a.name.localeCompare(b.name));
    byId("here-count").textContent = everyone.length === 0 ? "" : `${everyone.length} here`;
    const rows = everyone.slice(0, SHOWN_MAX).map((person) => this.#row(person));
    if (everyone.length > SHOWN_MAX) {
      rows.push(make("li", "more", `and ${everyone.length - SHOWN_MAX} more`));
    }
    byId("people").replaceChildren(...rows);
    this.#showTyping();
  }

  #row({ id, name, you }) {
    const row = make("li", "person", avatar(name), make("bdi", "person-name", name));
    if (you) row.append(" ", make("span", "you", "you"));
    row.dataset.id = id;
    return row;
  }

  #showTyping() {
    for (const row of byId("people").children) {
      row.classList.toggle("is-typing", this.#typing.has(row.dataset.id));
    }
    this.#onTyping([...this.#typing.keys()].map((id) => this.#names.get(id) ?? "Someone"));
  }
}
