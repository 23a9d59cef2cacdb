// The two things every panel does with the document: make elements, and stay at the end of a list.

import { hueOf, initials } from "./text.js";

/** The element with this id; the page and its scripts are one unit, so it is there. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes an element with text or children in it.
 *
 * Strings become text nodes, never markup: this is the only way words from other people get into
 * the page.
 */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A round badge with someone's initials in their colour; hidden from screen readers. */
export function avatar(name) {
  const badge = make("span", "avatar", initials(name));
  badge.ariaHidden = "true";
  badge.style.setProperty("--hue", hueOf(name));
  return badge;
}

/** A list that drops its oldest items and follows its newest, unless the reader scrolled up. */
export class Tail {
  #list;
  #scroller;
  #max;
  #following = true;
  #top = 0;
  #scheduled = 0;
  #onBehind;

  /** `onBehind` hears true when an item came that the reader cannot see, false at the end again. */
  constructor(list, scroller, max, onBehind = () => {}) {
    this.#list = list;
    this.#scroller = scroller;
    this.#max = max;
    this.#onBehind = onBehind;
    // Items may have come since the last move to the end, so only a way up is the reader's own.
    scroller.addEventListener("scroll", () => {
      this.#follow(this.#atEnd || (this.#following && scroller.scrollTop >= this.#top));
    }, { passive: true });
    // An item opened near the end is being read; the next one must not push it away.
    scroller.addEventListener("toggle", () => this.#follow(this.#atEnd), { capture: true });
    // A resize (a keyboard, a drawer) must not leave the newest item below the edge.
    new ResizeObserver(() => this.#following && this.toEnd()).observe(scroller);
    this.#follow(true);
  }

  get #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < 48;
  }

  add(item) {
    this.#list.append(item);
    while (this.#list.childElementCount > this.#max) this.#list.firstElementChild.remove();
    this.#settleSoon();
  }

  clear() {
    this.#list.replaceChildren();
    this.#follow(true);
  }

  toEnd() {
    this.#follow(true);
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }

  /**
   * Once per painted frame: measuring after each item of a burst lays out the list every time.
   * And not before it: only then has the reader's own scrolling been reported.
   */
  #settleSoon() {
    this.#scheduled ||= requestAnimationFrame(() => {
      this.#scheduled = 0;
      if (this.#following) this.toEnd();
      else this.#onBehind(true);
    });
  }

  #follow(following) {
    this.#following = following;
    if (following) this.#onBehind(false);
    // The browser keeps what is being read in place while older items go; at the end we move.
    this.#scroller.style.overflowAnchor = following ? "none" : "auto";
  }
}
