// Text formatting: names, initials, colours, times and sizes. Pure functions.

const ADJECTIVES = [
  "Amber", "Brisk", "Calm", "Clever", "Dapper", "Gentle", "Golden", "Happy", "Jolly", "Keen",
  "Lucky", "Mellow", "Merry", "Nimble", "Patient", "Quiet", "Silver", "Steady", "Sunny", "Witty",
];
const ANIMALS = [
  "Badger", "Beaver", "Crane", "Dolphin", "Falcon", "Finch", "Fox", "Hare", "Heron", "Ibis",
  "Koala", "Lark", "Lynx", "Marten", "Otter", "Owl", "Panda", "Puffin", "Robin", "Seal",
];

/** A random name for a new visitor, such as "Quiet Otter". */
export function friendlyName() {
  return `${oneOf(ADJECTIVES)} ${oneOf(ANIMALS)}`;
}

/**
 * Converts a value from another client to text of at most `max` characters.
 *
 * Other clients may send any value: strings stay, null and undefined become "", others become JSON.
 */
export function asText(value, max) {
  const text = typeof value === "string" ? value : value == null ? "" : JSON.stringify(value);
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

/** The name of another client as shown; "Someone" if it is empty. */
export function asName(value) {
  return asText(value, 40).trim() || "Someone";
}

/** One or two initials: "Quiet Otter" becomes "QO", "ada" becomes "A". */
export function initials(name) {
  const words = name.split(/\s+/).filter(Boolean).slice(0, 2);
  return words.map((word) => firstCharacter(word).toLocaleUpperCase()).join("");
}

/** A hue in degrees that depends only on the name. */
export function hueOf(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  // Steps of 137.5 degrees, the golden angle, keep neighbouring hashes far apart on the circle.
  return Math.round((hash % 360) * 137.5) % 360;
}

/** "14:05" or "2:05 PM", according to the locale. */
export function clock(date) {
  return date.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
}

/** "0.4 ms", "32 ms". */
export function milliseconds(ms) {
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** "Ada", "Ada and Bob", "Ada, Bob and 3 more". */
export function listed(names) {
  if (names.length <= 1) return names.join("");
  if (names.length === 2) return names.join(" and ");
  const more = names.length - 2;
  return `${names.slice(0, 2).join(", ")} and ${more} more`;
}

function oneOf(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function firstCharacter(word) {
  // A flag or a family emoji is one visible character of several code points.
  const [first] = new Intl.Segmenter().segment(word);
  return first?.segment ?? "";
}
