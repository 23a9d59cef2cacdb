// Input on the sheet, by pointer or keyboard: movement, strokes and taps.

/** A press that moves less than this, as a fraction of the sheet, is a tap. */
const TAP_DISTANCE = 0.006;

/** Points closer than this to the previous one are skipped. */
const MIN_DISTANCE = 0.0015;

/** The step of an arrow key, and with Shift. */
const STEP = 0.02;
const FINE_STEP = 0.005;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {{x: number, y: number}} Position  fractions of the sheet's width and height
 *
 * @typedef {object} Handlers
 * @property {(position: Position, byKeys: boolean) => void} onMove
 * @property {() => void} onLeave
 * @property {(stroke: number, positions: Position[]) => void} onDraw
 * @property {(position: Position) => void} onTap
 * @property {(isDown: boolean) => void} onPen  a key put the pen down or up
 */
export class SheetInput {
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
      // Lifting a finger also raises this event, but the user is still present.
      if (event.pointerType !== "touch" && !this.#press) on.onLeave();
    });
    sheet.addEventListener("keydown", (event) => this.#key(event));
    sheet.addEventListener("blur", () => this.#setPen(false));
  }

  #down(event) {
    if (!event.isPrimary || event.button !== 0 || event.target.closest("a, button")) return;
    const position = this.#positionOf(event);
    this.#press = { id: event.pointerId, last: position, begin: position, isTap: true };
    this.#sheet.setPointerCapture(event.pointerId);
    this.#on.onMove(position, false);
  }

  #move(event) {
    if (!event.isPrimary) return;
    const position = this.#positionOf(event);
    this.#keys.x = position.x;
    this.#keys.y = position.y;
    if (this.#press?.id === event.pointerId) this.#draw(event);
    else this.#on.onMove(position, false);
  }

  #draw(event) {
    const press = this.#press;
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const positions = [];
    for (const one of coalesced.length > 0 ? coalesced : [event]) {
      const position = this.#positionOf(one);
      if (press.isTap && distance(press.begin, position) < TAP_DISTANCE) continue;
      if (press.isTap) {
        press.isTap = false;
        this.#stroke += 1;
        positions.push(press.begin);
      }
      if (distance(press.last, position) < MIN_DISTANCE) continue;
      press.last = position;
      positions.push(position);
    }
    if (positions.length > 0) this.#on.onDraw(this.#stroke, positions);
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
    else if (event.key === "Enter") this.#on.onTap({ ...this.#keyPosition });
    else if (event.key === " ") this.#setPen(!this.#keys.isPenDown);
    else return;
    event.preventDefault();
  }

  #step([right, down], step) {
    const keys = this.#keys;
    const before = this.#keyPosition;
    keys.x = Math.min(1, Math.max(0, keys.x + right * step));
    keys.y = Math.min(1, Math.max(0, keys.y + down * step));
    this.#on.onMove(this.#keyPosition, true);
    if (keys.isPenDown) this.#on.onDraw(this.#stroke, [before, this.#keyPosition]);
  }

  get #keyPosition() {
    return { x: this.#keys.x, y: this.#keys.y };
  }

  #setPen(isDown) {
    if (this.#keys.isPenDown === isDown) return;
    this.#keys.isPenDown = isDown;
    if (isDown) this.#stroke += 1;
    this.#on.onPen(isDown);
  }

  #positionOf({ clientX, clientY }) {
    const { left, top, width, height } = this.#sheet.getBoundingClientRect();
    const fraction = (value) => Math.min(1, Math.max(0, value));
    return { x: fraction((clientX - left) / width), y: fraction((clientY - top) / height) };
  }
}

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
