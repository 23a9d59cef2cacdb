// The middle of the page: what was said, who came and went, and who is typing.

import { Tail, avatar, byId, make } from "./dom.js";
import { clock, listed } from "./text.js";

/** Lines kept; older ones leave the page. */
const LINES_MAX = 500;

/** Lines of one person within this time stand under one name. */
const SAME_BREATH_MS = 3 * 60_000;

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

  /** Adds what someone said; `mine` puts it on this tab's side. */
  say({ name, text, mine }) {
    const now = new Date();
    const follows = this.#last?.name === name && this.#last.mine === mine
      && now - this.#last.at < SAME_BREATH_MS;
    this.#last = { name, mine, at: now };

    const time = make("time", "", clock(now));
    time.dateTime = now.toISOString();
    const who = make("p", "line-who", make("bdi", "", mine ? "You" : name), " ", time);
    const words = make("p", "line-text", text);
    words.dir = "auto";
    const classes = ["said", mine && "mine", follows && "follows"].filter(Boolean).join(" ");
    this.#add(make("li", classes, avatar(name), who, words));
    if (mine) this.#tail.toEnd();
    else this.#showUnread(document.hidden ? this.#unread + 1 : 0);
  }

  /** Adds a small remark, such as who came in. */
  note(text) {
    this.#last = null;
    this.#add(make("li", "note", make("bdi", "", text)));
  }

  /** Empties the conversation, for another room. */
  clear() {
    this.#tail.clear();
    this.#last = null;
    byId("empty").hidden = false;
  }

  /** Says who is typing; the newest few are named. */
  showTyping(names) {
    const typing = byId("typing");
    const verb = names.length === 1 ? "is" : "are";
    const text = names.length === 0 ? "" : `${listed(names)} ${verb} typing`;
    // The same again would start the dots anew.
    if (typing.textContent === text) return;
    if (text === "") return typing.replaceChildren();
    const dots = make("span", "dots", make("i"), make("i"), make("i"));
    dots.ariaHidden = "true";
    typing.replaceChildren(dots, make("bdi", "", text));
  }

  #add(item) {
    if (item.classList.contains("said")) byId("empty").hidden = true;
    this.#tail.add(item);
    // The oldest line may have stood under a name that has just left the page.
    this.#lines.firstElementChild.classList.remove("follows");
  }

  #showUnread(count) {
    this.#unread = count;
    document.title = document.title.replace(/^(\(\d+\) )?/, count ? `(${count}) ` : "");
  }
}
