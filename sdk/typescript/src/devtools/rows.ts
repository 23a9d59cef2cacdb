/**
 * One row of the panel for each entry of the log, and the entry as a line of text.
 */

import { clock, make, milliseconds, size } from "./elements.js";
import { coloured, pretty } from "./json.js";
import type { Entry, FrameEntry, StateEntry } from "./log.js";
import { REFUSAL } from "./meaning.js";

export function row(entry: Entry): HTMLLIElement {
  return entry.kind === "frame" ? frameRow(entry) : stateRow(entry);
}

/** The entry on one line, to be copied. */
export function line(entry: Entry): string {
  const time = clock(entry.at);
  if (entry.kind === "state") return `${time} – ${[entry.title, entry.detail].filter(Boolean).join(": ")}`;
  const cut = entry.cut ? `… ${entry.cut} more characters` : "";
  return `${time} ${entry.direction === "out" ? "↑" : "↓"} ${entry.text}${cut}`;
}

/** The text in which the filter searches. */
export function searchable(entry: Entry): string {
  return (entry.kind === "frame" ? `${entry.role} ${entry.title} ${entry.text}` : `${entry.title} ${entry.detail}`).toLowerCase();
}

function timeOf({ at }: Entry): HTMLTimeElement {
  const time = make("time", "frame-time", clock(at));
  time.dateTime = at.toISOString();
  return time;
}

function stateRow(entry: StateEntry): HTMLLIElement {
  const title = make("span", "frame-title", make("bdi", "", entry.title));
  const detail = entry.detail ? [make("bdi", "frame-preview", entry.detail)] : [];
  const dot = make("span", "dot");
  dot.ariaHidden = "true";
  return make("li", `state ${entry.state}`, make("div", "summary", dot, title, make("span", "frame-size"), timeOf(entry), ...detail));
}

function frameRow(entry: FrameEntry): HTMLLIElement {
  const isSent = entry.direction === "out";
  const arrow = make("span", "frame-arrow", isSent ? "↑" : "↓");
  arrow.ariaHidden = "true";
  const title = make("span", "frame-title", make("span", "unseen", isSent ? "sent " : "received "));
  if (entry.role) title.append(make("span", "frame-role", entry.role), " ");
  title.append(make("bdi", "", entry.title));
  if (entry.latencyMs !== undefined) title.append(" ", make("span", "frame-latency", milliseconds(entry.latencyMs)));
  const preview = make("bdi", "frame-preview", ...coloured(entry.preview));
  const summary = make("summary", "summary", arrow, title, make("span", "frame-size", size(entry.bytes)), timeOf(entry), preview);
  const details = make("details", "", summary);
  // The JSON is coloured when the frame is opened, because most never are.
  details.addEventListener("toggle", () => {
    const code = make("pre", "json", ...coloured(pretty(entry.text, entry.cut)));
    code.tabIndex = 0;
    details.append(code);
    details.scrollIntoView({ block: "nearest" });
  }, { once: true });
  return make("li", `frame ${entry.role === REFUSAL ? REFUSAL : entry.direction}`, details);
}
