// Validation of data from other clients. Each check returns a valid value, or undefined.

/** The limit of points read from one stroke message; this page sends fewer. */
const POINTS_MAX = 64;

/** The longest name, in visible characters. */
const NAME_MAX = 24;

/** The colour of users without a valid one. */
const DEFAULT_COLOUR = "#6b7a74";

/** Control characters, and marks that change the direction of surrounding text. */
const FORBIDDEN = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** Matches a name with a visible character. */
const VISIBLE = /[^\s\p{Cf}\p{M}\u2800\u3164]/u;

/** A position on the sheet: both coordinates are fractions of its size, 0 to 1. */
export function position(x, y) {
  return Number.isFinite(x) && Number.isFinite(y) ? { x: fraction(x), y: fraction(y) } : undefined;
}

/** The positions of a stroke, without invalid ones. */
export function positions(points) {
  if (!Array.isArray(points)) return undefined;
  const valid = points.slice(0, POINTS_MAX)
    .map((point) => Array.isArray(point) ? position(point[0], point[1]) : undefined)
    .filter(Boolean);
  return valid.length > 0 ? valid : undefined;
}

/** A number that identifies a stroke or a message of one sender. */
export function count(value) {
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** A name as shown, or "" if it has no visible character. */
export function personName(value) {
  if (typeof value !== "string") return "";
  const text = value.slice(0, 20 * NAME_MAX).replace(FORBIDDEN, "").trim();
  if (!VISIBLE.test(text)) return "";
  const characters = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
  return characters.slice(0, NAME_MAX).join("");
}

/** A colour such as `#0b6b5c`; grey for any other value, so that no other CSS enters the page. */
export function colour(value) {
  return typeof value === "string" && /^#[0-9a-f]{6}$/i.test(value) ? value : DEFAULT_COLOUR;
}

function fraction(value) {
  return Math.min(1, Math.max(0, value));
}
