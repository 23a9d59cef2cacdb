// Helpers of all panels: creating elements, and following the end of a list.

import { hueOf, initials } from "./text.js";

/** Returns the element with this id. The page and its scripts belong together, so it exists. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Creates an element with children. Strings become text nodes, never markup; text of other users enters
 * the page only through this function.
 */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Creates a round badge with the initials and colour of a name; hidden from screen readers. */
export function avatar(name) {
  const badge = make("span", "avatar", initials(name));
  badge.ariaHidden = "true";
  badge.style.setProperty("--hue", hueOf(name));
  return badge;
}

/** A list that removes its oldest items and scrolls to the newest, unless the user has scrolled up. */
export class Tail {
  #list;
  #scroller;
  #max;
  #following = true;
  #top = 0;
  #scheduled = 0;
  #onBehind;

  /** Calls `onBehind` with true when a new item is out of view, and with false at the end of the list. */
  constructor(list, scroller, max, onBehind = () => {}) {
    this.#list = list;
    this.#scroller = scroller;
    this.#max = max;
    this.#onBehind = onBehind;
    // New items also change the distance to the end, so only scrolling up is an action of the user.
    scroller.addEventListener("scroll", () => {
      this.#follow(this.#atEnd || (this.#following && scroller.scrollTop >= this.#top));
    }, { passive: true });
    // An item opened near the end is being read, so the next one must not scroll it away.
    scroller.addEventListener("toggle", () => this.#follow(this.#atEnd), { capture: true });
    // After a resize (keyboard, drawer) the newest item must stay in view.
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
    this.#scrollSoon();
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
   * Runs once per animation frame: measuring after each item of a burst would lay out the list every time,
   * and scroll events of the user arrive before the frame.
   */
  #scrollSoon() {
    this.#scheduled ||= requestAnimationFrame(() => {
      this.#scheduled = 0;
      if (this.#following) this.toEnd();
      else this.#onBehind(true);
    });
  }

  #follow(following) {
    this.#following = following;
    if (following) this.#onBehind(false);
    // Scroll anchoring keeps the visible items in place while older ones are removed; at the end it must be off.
    this.#scroller.style.overflowAnchor = following ? "none" : "auto";
  }
}
