// What other people send, made harmless. Each check gives a proper value, or undefined for none.

/** Points taken from one stroke message; our own pages send fewer. */
const POINTS_MAX = 64;

/** Characters of a name, as a reader counts them. */
const NAME_MAX = 24;

/** Colour of those who gave none that can be read. */
const NO_COLOUR = "#6b7a74";

/** Control characters, and marks that turn the direction of the text around them. */
const UNWANTED = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** Anything of a name that can be seen. */
const VISIBLE = /[^\s\p{Cf}\p{M}\u2800\u3164]/u;

/** A place on the sheet: both are fractions of its size, 0 to 1. */
export function place(x, y) {
  return Number.isFinite(x) && Number.isFinite(y) ? { x: fraction(x), y: fraction(y) } : undefined;
}

/** The places of a stroke; what is no place is left out. */
export function places(points) {
  if (!Array.isArray(points)) return undefined;
  const good = points.slice(0, POINTS_MAX)
    .map((point) => Array.isArray(point) ? place(point[0], point[1]) : undefined)
    .filter(Boolean);
  return good.length > 0 ? good : undefined;
}

/** A number that names a stroke or a message of one sender. */
export function count(value) {
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** A name as shown, or "" when it has none to show. */
export function personName(value) {
  if (typeof value !== "string") return "";
  const text = value.slice(0, 20 * NAME_MAX).replace(UNWANTED, "").trim();
  if (!VISIBLE.test(text)) return "";
  const characters = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
  return characters.slice(0, NAME_MAX).join("");
}

/** A colour such as `#0b6b5c`, a grey for anything else: no other CSS gets into the page. */
export function colour(value) {
  return typeof value === "string" && /^#[0-9a-f]{6}$/i.test(value) ? value : NO_COLOUR;
}

function fraction(value) {
  return Math.min(1, Math.max(0, value));
}
