// What the pages have in common: who the visitor is, badges, and the state of the connection.

import type { Connection } from "switchboard-sdk/client";

const MANNERS = ["Amber", "Brisk", "Calm", "Clever", "Gentle", "Golden", "Happy", "Jolly", "Lucky", "Merry", "Nimble", "Quiet", "Sunny", "Witty"];
const ANIMALS = ["Badger", "Beaver", "Crane", "Dolphin", "Falcon", "Finch", "Fox", "Hare", "Heron", "Koala", "Lynx", "Otter", "Owl", "Panda", "Puffin", "Robin"];

/** The element with this id; a page without it is broken. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as E;
}

/** An element with a class and children; text stays text, whoever wrote it. */
export function make(tag: string, className = "", ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** The visitor's name, kept as long as the tab so that two tabs can be two people. */
export function myName(): string {
  const name = sessionStorage.getItem("name") || `${oneOf(MANNERS)} ${oneOf(ANIMALS)}`;
  sessionStorage.setItem("name", name);
  return name;
}

/** Shows the visitor's name in the field `#name`, and tells when it is changed. */
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

/** A round badge with a name's initials, in the name's colour. */
export function badge(name: string): HTMLElement {
  const element = make("span", "badge", initials(name));
  element.ariaHidden = "true";
  paint(element, name);
  return element;
}

/** Gives an element the colour of a name, as `--hue`. */
export function paint(element: HTMLElement, name: string): void {
  element.style.setProperty("--hue", String(hueOf(name)));
}

/** "Quiet Otter" is "QO". Other clients may send anything as a name. */
export function initials(name: string): string {
  return `${name}`.split(/\s+/, 2).map((word) => [...word][0]?.toUpperCase() ?? "").join("");
}

/** An angle of the colour circle, the same for the same name everywhere. */
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
