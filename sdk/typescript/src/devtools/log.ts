/**
 * The recorded entries: the newest frames and changes of state, bounded in number and in characters.
 */

import type { FrameMeaning } from "./meaning.js";

/** The most entries. */
export const ENTRIES_MAX = 500;

/** The most characters of all frames together. */
const CHARACTERS_MAX = 2_000_000;

/** The most characters that are kept of one frame. */
export const FRAME_CHARACTERS_MAX = 50_000;

/** A frame that was sent or received. */
export interface FrameEntry extends FrameMeaning {
  readonly kind: "frame";
  readonly direction: "out" | "in";
  readonly at: Date;
  /** The frame without its secrets, cut at `FRAME_CHARACTERS_MAX`. */
  readonly text: string;
  /** The size of the whole frame in UTF-8. */
  readonly bytes: number;
  /** Characters that are missing at the end of `text`. */
  readonly cut: number;
}

/** The state of a line, as this folder calls a connection. */
export type LineState = "connecting" | "open" | "waiting" | "closed";

/** A change of the state of a connection. */
export interface StateEntry {
  readonly kind: "state";
  readonly state: LineState;
  /** The connection: an object that only this connection has. */
  readonly line: object;
  readonly at: Date;
  /** Such as `connecting to ws://localhost:3000/`. */
  readonly title: string;
  /** Such as the reason of a close; may be empty. */
  readonly detail: string;
}

export type Entry = FrameEntry | StateEntry;

/** The newest entries and the totals. */
export class Log {
  /** Oldest first. */
  readonly entries: Entry[] = [];
  /** Frames since the beginning, or since `clear`. */
  readonly totals = { out: 0, in: 0 };
  /** Called after each entry, and after `clear` without one. */
  onChange: (entry?: Entry) => void = () => {};
  #characters = 0;
  #lastState: LineState | undefined;
  readonly #openLines = new Set<object>();

  /** `open` if a connection is open, otherwise the state of the one that changed last. */
  get state(): LineState | undefined {
    return this.#openLines.size ? "open" : this.#lastState;
  }

  add(entry: Entry): void {
    this.entries.push(entry);
    if (entry.kind === "frame") {
      this.totals[entry.direction]++;
      this.#characters += entry.text.length;
    } else {
      this.#lastState = entry.state;
      if (entry.state === "open") this.#openLines.add(entry.line);
      else this.#openLines.delete(entry.line);
    }
    while (this.entries.length > ENTRIES_MAX || this.#characters > CHARACTERS_MAX) {
      const oldest = this.entries.shift();
      if (oldest?.kind === "frame") this.#characters -= oldest.text.length;
    }
    this.onChange(entry);
  }

  clear(): void {
    this.entries.length = this.#characters = this.totals.out = this.totals.in = 0;
    this.onChange();
  }
}
