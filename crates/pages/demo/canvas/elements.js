// Elements from the templates of the page, and their colours.

import { byId, make } from "../dom.js";
import { initials } from "../text.js";

/** Returns a copy of the element in a template. */
export function copyOf(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

/** Sets the colour of an element, and a text colour that is readable on it. */
export function applyColour(element, colour) {
  element.style.setProperty("--colour", colour);
  element.style.setProperty("--on-colour", luminance(colour) > 0.36 ? "#14201c" : "#ffffff");
}

/** Creates a round badge with initials; hidden from screen readers. */
export function badge(name, colour) {
  const element = make("span", "avatar", initials(name));
  element.ariaHidden = "true";
  applyColour(element, colour);
  return element;
}

/** The relative luminance of a colour such as `#0b6b5c`, from 0 (black) to 1 (white). */
function luminance(colour) {
  const [red, green, blue] = [1, 3, 5]
    .map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
