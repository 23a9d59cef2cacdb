// The visitor's hand on the sheet, by pointer or by keys: where it is, draws and taps.

/** A press that goes no further than this, as a fraction of the sheet, is a tap. */
const TAP = 0.006;

/** Points closer together than this are one. */
const APART = 0.0015;

/** One press of an arrow key; with Shift a finer one. */
const STEP = 0.02;
const FINE_STEP = 0.005;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {{x: number, y: number}} Place  fractions of the sheet's width and height
 *
 * @typedef {object} Handlers
 * @property {(place: Place, byKeys: boolean) => void} onMove
 * @property {() => void} onLeave
 * @property {(stroke: number, places: Place[]) => void} onDraw
 * @property {(place: Place) => void} onTap
 * @property {(isDown: boolean) => void} onPen  the pen went down or up by a key
 */
export class Hand {
  #sheet;
  #on;
  #stroke = 0;
  #press = null;
  #keys = { x: 0.5, y: 0.5, isPenDown: false };

  /**
   * @param {HTMLElement} sheet
   * @param {Handlers} on
   */
  constructor(sheet, on) {
    this.#sheet = sheet;
    this.#on = on;
    sheet.addEventListener("pointerdown", (event) => this.#down(event));
    sheet.addEventListener("pointermove", (event) => this.#move(event));
    sheet.addEventListener("pointerup", (event) => this.#up(event));
    sheet.addEventListener("pointercancel", () => this.#press = null);
    sheet.addEventListener("pointerleave", (event) => {
      // A finger "leaves" whenever it is lifted; its owner is still there.
      if (event.pointerType !== "touch" && !this.#press) on.onLeave();
    });
    sheet.addEventListener("keydown", (event) => this.#key(event));
    sheet.addEventListener("blur", () => this.#setPen(false));
  }

  #down(event) {
    if (!event.isPrimary || event.button !== 0 || event.target.closest("a, button")) return;
    const place = this.#placeOf(event);
    this.#press = { id: event.pointerId, last: place, begin: place, isTap: true };
    this.#sheet.setPointerCapture(event.pointerId);
    this.#on.onMove(place, false);
  }

  #move(event) {
    if (!event.isPrimary) return;
    const place = this.#placeOf(event);
    this.#keys.x = place.x;
    this.#keys.y = place.y;
    if (this.#press?.id === event.pointerId) this.#draw(event);
    else this.#on.onMove(place, false);
  }

  #draw(event) {
    const press = this.#press;
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const places = [];
    for (const one of coalesced.length > 0 ? coalesced : [event]) {
      const place = this.#placeOf(one);
      if (press.isTap && distance(press.begin, place) < TAP) continue;
      if (press.isTap) {
        press.isTap = false;
        this.#stroke += 1;
        places.push(press.begin);
      }
      if (distance(press.last, place) < APART) continue;
      press.last = place;
      places.push(place);
    }
    if (places.length > 0) this.#on.onDraw(this.#stroke, places);
  }

  #up(event) {
    const press = this.#press;
    if (press?.id !== event.pointerId) return;
    this.#press = null;
    if (press.isTap) this.#on.onTap(press.begin);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.#sheet) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.#step(arrow, event.shiftKey ? FINE_STEP : STEP);
    else if (event.key === "Enter") this.#on.onTap({ ...this.#keyPlace });
    else if (event.key === " ") this.#setPen(!this.#keys.isPenDown);
    else return;
    event.preventDefault();
  }

  #step([right, down], step) {
    const keys = this.#keys;
    const before = this.#keyPlace;
    keys.x = Math.min(1, Math.max(0, keys.x + right * step));
    keys.y = Math.min(1, Math.max(0, keys.y + down * step));
    this.#on.onMove(this.#keyPlace, true);
    if (keys.isPenDown) this.#on.onDraw(this.#stroke, [before, this.#keyPlace]);
  }

  get #keyPlace() {
    return { x: this.#keys.x, y: this.#keys.y };
  }

  #setPen(isDown) {
    if (this.#keys.isPenDown === isDown) return;
    this.#keys.isPenDown = isDown;
    if (isDown) this.#stroke += 1;
    this.#on.onPen(isDown);
  }

  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.#sheet.getBoundingClientRect();
    const fraction = (value) => Math.min(1, Math.max(0, value));
    return { x: fraction((clientX - left) / width), y: fraction((clientY - top) / height) };
  }
}

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
