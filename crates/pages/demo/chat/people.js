// The member list on the left of the page, with typing indicators.

import { avatar, byId, make } from "../dom.js";
import { asName } from "../text.js";

/** The limit of members shown by name; the others are counted. */
const SHOWN_MAX = 100;

/** A typing indicator disappears this long after its last event. */
const TYPING_MS = 3000;

export class People {
  #names = new Map();
  #typing = new Map();
  #self = null;
  #changes = null;
  #onTyping;

  /** Calls `onTyping` with the names of all users who are typing, at every change. */
  constructor(onTyping) {
    this.#onTyping = onTyping;
  }

  /**
   * Replaces the list by the result of `answer`.
   *
   * Joins and leaves may overtake the answer, so the ones received in the meantime are applied to it again.
   * An answer that is not a list (from a server without `/who`) changes nothing.
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

  /** Adds or renames a member. Returns the previous name, or undefined for a new member. */
  add(id, name) {
    const before = this.#names.get(id);
    this.#change(() => this.#names.set(id, name));
    return before;
  }

  /** Removes a member. Returns its name, or undefined if there was none with that id. */
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

  /** Ends the typing indicators of this name: a message carries a name but no id. */
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
    const members = [...this.#names].map(([id, name]) => ({ id, name, you: id === this.#self }));
    members.sort((a, b) => b.you - a.you || a.name.localeCompare(b.name));
    byId("here-count").textContent = members.length === 0 ? "" : `${members.length} here`;
    const rows = members.slice(0, SHOWN_MAX).map((person) => this.#row(person));
    if (members.length > SHOWN_MAX) {
      rows.push(make("li", "more", `and ${members.length - SHOWN_MAX} more`));
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
