// The conversation in the middle of the page: messages, joins and leaves, and the typing indicator.

import { Tail, avatar, byId, make } from "../dom.js";
import { clock, listed } from "../text.js";

/** The limit of lines on the page; the oldest are removed. */
const LINES_MAX = 500;

/** Messages of one user within this time are grouped under one name. */
const GROUP_MS = 3 * 60_000;

export class Conversation {
  #lines = byId("lines");
  #tail = new Tail(this.#lines, byId("talk-scroller"), LINES_MAX, (behind) => {
    byId("newest").hidden = !behind;
  });
  #last = null;
  #unread = 0;

  constructor() {
    byId("newest").addEventListener("click", () => this.#tail.toEnd());
    document.addEventListener("visibilitychange", () => this.#showUnread(0));
  }

  /** Adds a message; `mine` marks it as sent from this tab. */
  addMessage({ name, text, mine }) {
    const now = new Date();
    const follows = this.#last?.name === name && this.#last.mine === mine
      && now - this.#last.at < GROUP_MS;
    this.#last = { name, mine, at: now };

    const time = make("time", "", clock(now));
    time.dateTime = now.toISOString();
    const sender = make("p", "line-who", make("bdi", "", mine ? "You" : name), " ", time);
    const body = make("p", "line-text", text);
    body.dir = "auto";
    const classes = ["said", mine && "mine", follows && "follows"].filter(Boolean).join(" ");
    this.#add(make("li", classes, avatar(name), sender, body));
    if (mine) this.#tail.toEnd();
    else this.#showUnread(document.hidden ? this.#unread + 1 : 0);
  }

  /** Adds a note, such as a join or a leave. */
  addNote(text) {
    this.#last = null;
    this.#add(make("li", "note", make("bdi", "", text)));
  }

  /** Clears the conversation, for another room. */
  clear() {
    this.#tail.clear();
    this.#last = null;
    byId("empty").hidden = false;
  }

  /** Shows the names of users who are typing; only a few are listed. */
  showTyping(names) {
    const typing = byId("typing");
    const verb = names.length === 1 ? "is" : "are";
    const text = names.length === 0 ? "" : `${listed(names)} ${verb} typing`;
    // Replacing the same text would restart the animation.
    if (typing.textContent === text) return;
    if (text === "") return typing.replaceChildren();
    const dots = make("span", "dots", make("i"), make("i"), make("i"));
    dots.ariaHidden = "true";
    typing.replaceChildren(dots, make("bdi", "", text));
  }

  #add(item) {
    if (item.classList.contains("said")) byId("empty").hidden = true;
    this.#tail.add(item);
    // The line that carried the name of its group may just have been removed.
    this.#lines.firstElementChild.classList.remove("follows");
  }

  #showUnread(count) {
    this.#unread = count;
    document.title = document.title.replace(/^(\(\d+\) )?/, count ? `(${count}) ` : "");
  }
}
