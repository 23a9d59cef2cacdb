// Shared by the pages: the name of the visitor, badges, and the state of the connection.

import type { Connection } from "switchboard-sdk/client";

const ADJECTIVES = ["Amber", "Brisk", "Calm", "Clever", "Gentle", "Golden", "Happy", "Jolly", "Lucky", "Merry", "Nimble", "Quiet", "Sunny", "Witty"];
const ANIMALS = ["Badger", "Beaver", "Crane", "Dolphin", "Falcon", "Finch", "Fox", "Hare", "Heron", "Koala", "Lynx", "Otter", "Owl", "Panda", "Puffin", "Robin"];

/** Returns the element with this id. Throws if there is none. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as E;
}

/** Returns the part of the address after `#`; undefined if it is empty. */
export function hashOf({ hash }: Location): string | undefined {
  const text = hash.slice(1);
  try {
    return decodeURIComponent(text) || undefined;
  } catch {
    // A percent sign in a link that was typed by hand.
    return text;
  }
}

/** Creates an element with a class and children; strings become text nodes, never HTML. */
export function make(tag: string, className = "", ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** The visitor's name, stored per tab, so that two tabs can be two users. */
export function myName(): string {
  const name = sessionStorage.getItem("name") || `${oneOf(ADJECTIVES)} ${oneOf(ANIMALS)}`;
  sessionStorage.setItem("name", name);
  return name;
}

/** Shows the visitor's name in the field `#name`, and calls `renamed` when it changes. */
export function nameField(renamed: (name: string) => void): void {
  const field = byId<HTMLInputElement>("name");
  field.value = myName();
  field.addEventListener("change", () => {
    sessionStorage.setItem("name", field.value.trim());
    field.value = myName();
    renamed(field.value);
  });
  field.addEventListener("keydown", ({ key }) => key === "Enter" && field.blur());
}

/** Creates a round badge with the initials and the colour of a name. */
export function badge(name: string): HTMLElement {
  const element = make("span", "badge", initials(name));
  element.ariaHidden = "true";
  paint(element, name);
  return element;
}

/** Sets `--hue` of an element to the colour of a name. */
export function paint(element: HTMLElement, name: string): void {
  element.style.setProperty("--hue", String(hueOf(name)));
}

/** "Quiet Otter" becomes "QO". Other clients may send any value as a name, so it is converted to a string. */
export function initials(name: string): string {
  return `${name}`.split(/\s+/, 2).map((word) => [...word][0]?.toUpperCase() ?? "").join("");
}

/** An angle of the colour circle that depends only on the name. */
export function hueOf(name: string): number {
  let hash = 7;
  for (const character of `${name}`) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  // Steps of the golden angle keep neighbouring hashes apart.
  return Math.round((hash % 360) * 137.5) % 360;
}

/** Shows the state of a connection in `#state`, and on the page as `data-connection`. */
export function showState(connection: Connection): void {
  const show = () => {
    document.documentElement.dataset["connection"] = connection.state;
    byId("state").textContent = STATES[connection.state];
  };
  connection.onChange(show);
  show();
}

export const STATES = {
  idle: "not connected",
  connecting: "connecting",
  connected: "connected",
  reconnecting: "reconnecting",
  closed: "not connected",
};

function oneOf(list: string[]): string {
  return list[Math.floor(Math.random() * list.length)] ?? "";
}
