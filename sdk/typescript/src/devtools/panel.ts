/**
 * The panel: a bar with the state and the totals, tools, and the list of entries, in a shadow root.
 */

import { after } from "../core/after.js";
import { make } from "./elements.js";
import { EntryList } from "./list.js";
import type { Entry, LineState, Log } from "./log.js";
import { STYLE } from "./style.js";

const STATES: Record<LineState, string> = {
  connecting: "connecting",
  open: "connected",
  waiting: "reconnecting",
  closed: "not connected",
};

/** How long the button shows that it has copied. */
const COPIED_SHOWN_MS = 1500;

export class PanelView {
  readonly element = make("div");
  readonly #log: Log;
  readonly #entries: EntryList;
  readonly #onToggle: (open: boolean) => void;
  readonly #bar = make("button", "bar");
  readonly #state = make("span", "bar-state");
  readonly #dot = make("span", "dot");
  readonly #out = make("span", "out");
  readonly #in = make("span", "in");
  readonly #body = make("div", "body");
  readonly #pause = button("Pause");
  readonly #copy = button("Copy");
  readonly #filter = make("input");
  readonly #pings = make("input");

  constructor(log: Log, onToggle: (open: boolean) => void) {
    this.#log = log;
    this.#onToggle = onToggle;
    this.#entries = new EntryList(log);
    const root = this.element.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const panel = make("section", "panel", this.#makeBar(), this.#makeBody());
    panel.ariaLabel = "Wire";
    root.append(panel);
    panel.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !this.open) return;
      this.open = false;
      this.#bar.focus();
    });
    log.onChange = (entry) => this.#changed(entry);
    this.#showBar();
  }

  get open(): boolean {
    return !this.#body.hidden;
  }

  set open(open: boolean) {
    this.#body.hidden = !open;
    this.#bar.ariaExpanded = `${open}`;
    this.element.toggleAttribute("data-closed", !open);
    if (open) this.#entries.toEnd();
    this.#onToggle(open);
  }

  #makeBar(): HTMLElement {
    const chevron = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    chevron.setAttribute("viewBox", "0 0 16 16");
    chevron.ariaHidden = "true";
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", "M6 3.5 10.5 8 6 12.5");
    chevron.append(path);
    this.#dot.ariaHidden = "true";
    const totals = make("span", "totals", this.#out, this.#in);
    totals.ariaHidden = "true";
    this.#bar.type = "button";
    this.#bar.setAttribute("aria-controls", "body");
    this.#bar.append(chevron, make("span", "", "Wire"), this.#dot, this.#state, totals);
    this.#bar.addEventListener("click", () => (this.open = !this.open));
    return make("h2", "", this.#bar);
  }

  #makeBody(): HTMLElement {
    this.#body.id = "body";
    this.#filter.type = "search";
    this.#filter.placeholder = "Filter";
    this.#filter.ariaLabel = "Filter frames";
    this.#pings.type = "checkbox";
    this.#pings.id = "pings";
    const filter = () => this.#entries.setFilter(this.#filter.value, this.#pings.checked);
    this.#filter.addEventListener("input", filter);
    this.#pings.addEventListener("change", filter);
    this.#pause.addEventListener("click", () => {
      this.#entries.setPaused(!this.#entries.isPaused);
      this.#showPause();
    });
    this.#showPause();
    const clear = button("Clear");
    clear.addEventListener("click", () => this.#log.clear());
    this.#copy.addEventListener("click", () => void this.#copyAll());
    const pings = make("label", "check", this.#pings, "Pings");
    const tools = make("div", "tools", this.#pause, clear, this.#copy, this.#filter, pings);
    this.#body.append(tools, this.#entries.scroller);
    return this.#body;
  }

  #changed(entry: Entry | undefined): void {
    if (entry) this.#entries.add(entry);
    else this.#entries.render();
    if (this.#entries.isPaused) this.#showPause();
    this.#showBar();
  }

  #showBar(): void {
    const { totals, state } = this.#log;
    this.#out.textContent = `↑ ${totals.out}`;
    this.#in.textContent = `↓ ${totals.in}`;
    this.#state.textContent = state ? STATES[state] : "no connection";
    this.#bar.className = `bar ${state ?? ""}`;
  }

  #showPause(): void {
    const { isPaused, missed } = this.#entries;
    this.#pause.ariaPressed = `${isPaused}`;
    this.#pause.textContent = isPaused ? `Resume${missed ? ` (${missed})` : ""}` : "Pause";
  }

  async #copyAll(): Promise<void> {
    const isCopied = await copy(this.#entries.text);
    this.#copy.textContent = isCopied ? "Copied" : "Not allowed";
    after(COPIED_SHOWN_MS, () => (this.#copy.textContent = "Copy"));
  }
}

function button(label: string): HTMLButtonElement {
  const element = make("button", "", label);
  element.type = "button";
  return element;
}

/** Copies a text. Returns false if the page may not write to the clipboard. */
async function copy(text: string): Promise<boolean> {
  try {
    // Absent on pages of http:// other than localhost.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  }
}
