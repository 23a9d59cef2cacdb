// A chat with rooms, member lists and typing indicators, over one emit connection.
//
// The server has a handler for each event below: crates/server/src/apps/demo.rs.

import { EmitClient } from "switchboard-sdk/client";

import { badge, byId, hashOf, make, myName, nameField, showState } from "../shared/page.js";

interface Person {
  id: string;
  username: string;
}

/** The events of the connection, so that the compiler checks every name and its data. */
interface Chat {
  emits: {
    "/message": { room: string; text: string };
    "/typing": { room: string };
    "/leave": { room: string };
  };
  requests: {
    "/whoami": { data: undefined; reply: { id: string } };
    "/join": { data: { room: string; username: string }; reply: unknown };
    "/who": { data: { room: string }; reply: { members: Person[] } };
  };
  events: {
    message: { username: string; text: string };
    typing: { id: string };
    "user-joined": Person;
    "user-left": Person;
  };
}

const TYPING_INTERVAL_MS = 2000;
const TYPING_SHOWN_MS = 3000;
const LINES_MAX = 300;

let room = hashOf(location) ?? "lobby";
const rooms = new Set(["lobby", "music", "games", room]);
let myId = "";
const people = new Map<string, string>();
const typing = new Map<string, number>();

const client = new EmitClient<Chat>("/", { reconnect: true, maxRetries: Infinity });
showState(client.connection);

// Runs after every reconnect too: a new connection is in no room.
client.on("@connection", join);

client.on("message", ({ username, text }) => {
  for (const [id, name] of people) if (name === username) stopTyping(id);
  addLine(username, text);
});

client.on("typing", ({ id }) => {
  clearTimeout(typing.get(id));
  typing.set(id, setTimeout(stopTyping, TYPING_SHOWN_MS, id));
  showTyping();
});

client.on("user-joined", ({ id, username }) => {
  const before = people.get(id);
  people.set(id, username);
  if (before === undefined) addNote(username, "joined");
  else if (before !== username) addNote(before, `is now ${username}`);
  showPeople();
});

client.on("user-left", ({ id, username }) => {
  people.delete(id);
  stopTyping(id);
  addNote(username, "left");
  showPeople();
});

/** Joins the room under our name, and requests its member list. */
async function join(): Promise<void> {
  showRooms();
  await client.request("/join", { room, username: myName() });
  ({ id: myId } = await client.request("/whoami"));
  const { members } = await client.request("/who", { room });
  people.clear();
  for (const { id, username } of members) people.set(id, username);
  document.documentElement.dataset["room"] = room;
  showPeople();
}

/** Without a connection this fails, and the next `@connection` joins. */
function joinAgain(): void {
  join().catch(() => {});
}

function enter(next: string): void {
  if (next === room) return;
  client.emit("/leave", { room }, { volatile: true });
  room = next;
  rooms.add(room);
  history.replaceState(null, "", `#${encodeURIComponent(room)}`);
  byId("lines").replaceChildren();
  joinAgain();
}

function stopTyping(id: string): void {
  clearTimeout(typing.get(id));
  typing.delete(id);
  showTyping();
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = field.value.trim();
  if (text) client.emit("/message", { room, text });
  field.value = "";
  typingSentAt = 0;
});

const field = byId<HTMLInputElement>("text");
let typingSentAt = 0;
field.addEventListener("input", () => {
  if (!field.value || Date.now() - typingSentAt < TYPING_INTERVAL_MS) return;
  typingSentAt = Date.now();
  // A typing indicator is useless later, so it is dropped while disconnected.
  client.emit("/typing", { room }, { volatile: true });
});

byId("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId<HTMLInputElement>("new-room");
  if (name.value.trim()) enter(name.value.trim());
  name.value = "";
});

nameField(joinAgain);

// Rendering.

function addLine(username: string, text: string): void {
  const line = make("li", "line", badge(username), make("bdi", "sender", username), make("p", "", text));
  line.classList.toggle("is-mine", username === myName());
  append(line);
}

function addNote(name: string, text: string): void {
  append(make("li", "note", make("bdi", "", name), ` ${text}`));
}

function append(line: HTMLElement): void {
  const lines = byId("lines");
  const atEnd = lines.scrollTop + lines.clientHeight > lines.scrollHeight - 40;
  lines.append(line);
  while (lines.childElementCount > LINES_MAX) lines.firstElementChild?.remove();
  if (atEnd) lines.scrollTop = lines.scrollHeight;
}

function showTyping(): void {
  const names = [...typing.keys()].map((id) => people.get(id) ?? "Someone");
  const verb = names.length === 1 ? "is" : "are";
  byId("typing").textContent = names.length ? `${names.join(", ")} ${verb} typing` : "";
}

function showRooms(): void {
  byId("rooms").replaceChildren(...[...rooms].map((name) => {
    const button = make("button", "room", `#${name}`);
    button.ariaCurrent = String(name === room);
    button.addEventListener("click", () => enter(name));
    return make("li", "", button);
  }));
}

function showPeople(): void {
  byId("count").textContent = String(people.size);
  byId("people").replaceChildren(...[...people].map(([id, name]) => {
    const row = make("li", "person", badge(name), make("bdi", "", name));
    if (id === myId) row.append(make("span", "you", "you"));
    return row;
  }));
}

client.open({ retry: true });
