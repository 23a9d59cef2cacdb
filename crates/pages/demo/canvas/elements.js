// Pieces of the page made from its templates, and dressed in someone's colour.

import { byId, make } from "../dom.js";
import { initials } from "../text.js";

/** A fresh copy of the one element in a template. */
export function copyOf(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

/** Gives an element someone's colour, and letters on it that can be read. */
export function dress(element, colour) {
  element.style.setProperty("--colour", colour);
  element.style.setProperty("--on-colour", lightness(colour) > 0.36 ? "#14201c" : "#ffffff");
}

/** A round badge with someone's initials in their colour; hidden from screen readers. */
export function badge(name, colour) {
  const element = make("span", "avatar", initials(name));
  element.ariaHidden = "true";
  dress(element, colour);
  return element;
}

/** How bright a colour such as `#0b6b5c` is to the eye: 0 is black, 1 is white. */
function lightness(colour) {
  const [red, green, blue] = [1, 3, 5]
    .map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
