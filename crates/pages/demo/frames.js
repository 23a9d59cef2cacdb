// The frame log on the right of the page: sent and received frames.

import { Tail, byId, make } from "./dom.js";
import { preciseClock, size } from "./text.js";

/** The limit of frames, shown or held while paused; the oldest are removed. */
const FRAMES_MAX = 200;

/** The longest JSON shown per frame, in characters; a frame may be a mebibyte. */
const JSON_CHARS_MAX = 10_000;
const PREVIEW_CHARS_MAX = 160;

/** The limit of beads on the cord at one time. */
const BEADS_MAX = 6;

const encoder = new TextEncoder();
const narrow = matchMedia("(max-width: 900px)");
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Frames {
  #tail = new Tail(byId("frames"), byId("wire-scroller"), FRAMES_MAX);
  #totals = { out: 0, in: 0 };
  #held = null;

  constructor() {
    byId("pause").addEventListener("click", () => this.#pause(this.#held === null));
    byId("clear").addEventListener("click", () => this.#clear());
    byId("wire-toggle").addEventListener("click", () => this.#expand(!this.#expanded));
    byId("wire-body").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#expand(false);
      byId("wire-toggle").focus();
    });
    this.#expand(!narrow.matches);
    narrow.addEventListener("change", () => this.#expand(!narrow.matches));
  }

  /** Counts a frame and lists it; pings are listed only if the checkbox is set. */
  add(frame) {
    const { direction } = frame;
    byId(`total-${direction}`).textContent = ++this.#totals[direction];
    sendBead(direction);

    if (frame.event === "/ping" && !byId("pings").checked) return;
    if (this.#held) {
      this.#held.push(frame);
      if (this.#held.length > FRAMES_MAX) this.#held.shift();
      this.#labelPause();
    } else {
      this.#show(frame);
    }
  }

  get #expanded() {
    return byId("wire-toggle").ariaExpanded === "true";
  }

  #expand(expanded) {
    byId("wire-toggle").ariaExpanded = String(expanded);
    byId("wire-body").hidden = !expanded;
    byId("board").classList.toggle("wire-closed", !expanded);
    if (expanded) this.#tail.toEnd();
  }

  #pause(paused) {
    const held = this.#held ?? [];
    this.#held = paused ? [] : null;
    byId("pause").ariaPressed = String(paused);
    this.#labelPause();
    if (!paused) held.forEach((frame) => this.#show(frame));
  }

  #labelPause() {
    const count = this.#held?.length;
    byId("pause").textContent = this.#held ? `Resume${count ? ` (${count})` : ""}` : "Pause";
  }

  #clear() {
    this.#tail.clear();
    if (this.#held) this.#held.length = 0;
    this.#labelPause();
    byId("wire-empty").hidden = false;
  }

  #show(frame) {
    byId("wire-empty").hidden = true;
    this.#tail.add(row(frame));
  }
}

function row(frame) {
  const { direction, text, value, at } = frame;
  const sent = direction === "out";
  const arrow = make("span", "frame-arrow", sent ? "↑" : "↓");
  arrow.ariaHidden = "true";
  const title = make("span", "frame-title", make("span", "unseen", sent ? "sent " : "received "));
  if (frame.isReply) title.append(make("span", "frame-reply", "reply "));
  title.append(make("bdi", "", frame.event || (value === undefined ? "not JSON" : "frame")));
  const bytes = make("span", "frame-size", size(encoder.encode(text).length));
  const time = make("time", "frame-time", preciseClock(at));
  time.dateTime = at.toISOString();
  const preview = make("span", "frame-preview", ...previewOf(value, text));

  const details = make("details", "", make("summary", "", arrow, title, bytes, time, preview));
  // The JSON is coloured when the frame is opened, because most never are.
  details.addEventListener("toggle", () => {
    details.append(make("pre", "json", ...coloured(pretty(value, text))));
    details.scrollIntoView({ block: "nearest" });
  }, { once: true });
  return make("li", `frame ${direction}`, details);
}

/** A one-line preview: only `data`, because the title shows the event. */
function previewOf(value, text) {
  const content = value?.data === undefined ? text : JSON.stringify(value.data);
  return coloured(content.slice(0, PREVIEW_CHARS_MAX));
}

function pretty(value, text) {
  const whole = value === undefined ? text : JSON.stringify(value, null, 2);
  if (whole.length <= JSON_CHARS_MAX) return whole;
  return `${whole.slice(0, JSON_CHARS_MAX)}\n… ${whole.length - JSON_CHARS_MAX} more characters`;
}

// A string with the colon that makes it a key, a word, or a number.
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

/** Splits JSON into strings and coloured spans for `make`. */
function coloured(json) {
  const parts = [];
  let end = 0;
  for (const match of json.matchAll(TOKEN)) {
    const [token, string, colon] = match;
    parts.push(json.slice(end, match.index));
    const kind = colon !== undefined ? "key" : string !== undefined ? "string" : "literal";
    parts.push(make("span", `json-${kind}`, string ?? token), colon ?? "");
    end = match.index + token.length;
  }
  parts.push(json.slice(end));
  return parts;
}

/** Animates a bead along the cord in the header, towards the server or from it. */
function sendBead(direction) {
  const cord = byId("cord");
  if (reducedMotion.matches || document.hidden || cord.childElementCount >= BEADS_MAX) return;
  const bead = make("i", `bead ${direction}`);
  cord.append(bead);
  const ends = [{ left: "0%" }, { left: "100%" }];
  const run = bead.animate(direction === "out" ? ends : ends.reverse(), {
    duration: 700,
    easing: "cubic-bezier(0.45, 0, 0.4, 1)",
  });
  run.onfinish = run.oncancel = () => bead.remove();
}
