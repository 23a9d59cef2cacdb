/**
 * The visible entries: filtered, frozen while paused, and following the newest.
 */

import { make } from "./elements.js";
import { ENTRIES_MAX, type Entry, type Log } from "./log.js";
import { line, row, searchable } from "./rows.js";

/** Distance from the end within which the list still follows the newest entry. */
const FOLLOW_PX = 48;

export class EntryList {
  readonly list = make("ol", "");
  readonly scroller = make("div", "scroller");
  readonly #log: Log;
  readonly #empty = make("p", "empty");
  #shown: Entry[] = [];
  #text = "";
  #showsPings = false;
  #isFollowing = true;
  #top = 0;
  /** Entries that arrived since the last rendering. */
  #fresh: Entry[] = [];
  #isScheduled = false;
  /** Entries that arrived while paused; undefined if the list is not paused. */
  #missed: number | undefined;

  constructor(log: Log) {
    this.#log = log;
    this.list.id = "frames";
    this.list.role = "list";
    const { scroller } = this;
    scroller.tabIndex = 0;
    scroller.role = "region";
    scroller.ariaLabel = "Frames, oldest first";
    scroller.append(this.#empty, this.list);
    // New entries also change the distance to the end, so only scrolling up is an action of the user.
    scroller.addEventListener("scroll", () => {
      this.#isFollowing = this.#isAtEnd || (this.#isFollowing && scroller.scrollTop >= this.#top);
    }, { passive: true });
    // A frame that is opened is being read.
    scroller.addEventListener("toggle", () => (this.#isFollowing = this.#isAtEnd), { capture: true });
    this.render();
  }

  get isPaused(): boolean {
    return this.#missed !== undefined;
  }

  /** Entries that arrived while paused. */
  get missed(): number {
    return this.#missed ?? 0;
  }

  /** The visible entries, one per line. */
  get text(): string {
    return this.#shown.map(line).join("\n");
  }

  add(entry: Entry): void {
    if (this.#missed !== undefined) {
      this.#missed++;
      return;
    }
    this.#fresh.push(entry);
    if (this.#fresh.length > ENTRIES_MAX) this.#fresh.shift();
    if (this.#isScheduled) return;
    // Once per frame of the display: laying out the list after each entry of a burst would take too long.
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      const fresh = this.#fresh.splice(0).filter((each) => this.#matches(each));
      if (!this.isPaused && fresh.length) this.#append(fresh);
    });
  }

  setPaused(isPaused: boolean): void {
    this.#missed = isPaused ? 0 : undefined;
    if (!isPaused) this.render();
  }

  setFilter(text: string, showsPings: boolean): void {
    this.#text = text.trim().toLowerCase();
    this.#showsPings = showsPings;
    this.render();
  }

  /** Shows the entries of the log that match the filter. */
  render(): void {
    this.#fresh.length = 0;
    if (this.#missed !== undefined) this.#missed = 0;
    this.#shown = [];
    this.list.replaceChildren();
    this.#append(this.#log.entries.filter((entry) => this.#matches(entry)));
  }

  toEnd(): void {
    this.#isFollowing = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#top = this.scroller.scrollTop;
  }

  #append(entries: readonly Entry[]): void {
    this.list.append(...entries.map(row));
    this.#shown.push(...entries);
    while (this.#shown.length > ENTRIES_MAX) {
      this.#shown.shift();
      this.list.firstElementChild?.remove();
    }
    this.#empty.hidden = this.#shown.length > 0;
    this.#empty.textContent = this.#text ? "Nothing matches the filter." : "Sent and received frames appear here.";
    if (this.#isFollowing) this.toEnd();
  }

  #matches(entry: Entry): boolean {
    if (entry.kind === "frame" && entry.isPing && !this.#showsPings) return false;
    return !this.#text || searchable(entry).includes(this.#text);
  }

  get #isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
  }
}
