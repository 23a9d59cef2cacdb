// The demo page: a chat on which two tabs talk over one WebSocket each, with the frames in view.
//
// What the page wants (`wanted`, a room and a name) and what the server has it as (`present`) are
// kept apart; `settle` turns the one into the other, after a first visit, a move to another room,
// a new name and a reconnect alike.

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { byId } from "./dom.js";
import { Frames } from "./frames.js";
import { People } from "./people.js";
import { asName, asText, friendlyName, milliseconds } from "./text.js";

const PING_EVERY_MS = 5000;

/** Drawing the page for the first time would count as round trip, so the first ping waits. */
const FIRST_PING_MS = 400;

/** A sign of typing is sent at most this often; the others show each for longer than that. */
const TYPING_EVERY_MS = 1500;

/** At most one look at who is here in this time, however many strangers speak. */
const WHO_EVERY_MS = 3000;

/** Characters of one line shown; other clients may send a mebibyte. */
const TEXT_MAX = 5000;

/** Own lines remembered until they come back. */
const UNCONFIRMED_MAX = 50;

const DEFAULT_ROOM = "lobby";

const conversation = new Conversation();
const people = new People((names) => conversation.showTyping(names));
const frames = new Frames();
const connection = new Connection(socketUrl(), {
  onState: showState,
  onFrame: (frame) => frames.add(frame),
  onEvent: hear,
});

const wanted = { room: roomFromHash(), name: recalledName() ?? friendlyName() };
let present = null;
let self = null;
let settling = false;
let leaving = false;
let wasConnected = false;
let unconfirmed = [];
let typingSentAt = -Infinity;
let whoAskedAt = -Infinity;
let countdown = 0;

// What the server says

function hear(event, data) {
  // Until a leave is answered, what arrives may still be the old room's.
  if (leaving) return;
  if (event === "message") hearMessage(data);
  else if (event === "user-joined") hearArrival(data);
  else if (event === "user-left") hearDeparture(data);
  else if (event === "typing") hearTyping(data);
}

function hearMessage(data) {
  const name = asName(data.username);
  const text = asText(data.text, TEXT_MAX);
  // A message names its sender and no more, and two tabs may share a name: ours is one that is
  // still on its way. Lines come back in order, so whatever went out before it will not come.
  const place = name === present?.name ? unconfirmed.indexOf(text) : -1;
  const mine = place >= 0;
  unconfirmed.splice(0, place + 1);
  if (!mine) people.stopTypingAs(name);
  conversation.say({ name, text, mine });
  if (!people.knowsName(name)) askWho();
}

function hearArrival({ id, username }) {
  const name = asName(username);
  const before = people.add(id, name);
  if (before === undefined) conversation.note(`${name} joined`);
  else if (before !== name) conversation.note(`${before} is now ${name}`);
}

function hearDeparture({ id }) {
  const name = people.remove(id);
  if (name !== undefined) conversation.note(`${name} left`);
}

function hearTyping({ id }) {
  people.startTyping(id);
  if (!people.knows(id)) askWho();
}

// Where we are

/** Makes the server have us as we want to be. One run at a time; it reads `wanted` each turn. */
async function settle() {
  if (settling || !connection.isOpen) return;
  settling = true;
  try {
    while (present?.room !== wanted.room || present.name !== wanted.name) {
      if (present && present.room !== wanted.room) await leaveRoom();
      else await joinRoom({ ...wanted });
    }
  } catch (error) {
    // A close brings us back here when the next socket is open; silence has to be made a close.
    if (error.code === "timeout") connection.drop();
  } finally {
    settling = false;
    leaving = false;
  }
}

async function leaveRoom() {
  const { room } = present;
  leaving = true;
  showPresent(null);
  await connection.request("/leave", { room });
  leaving = false;
  unconfirmed = [];
  people.clear();
  conversation.clear();
}

async function joinRoom({ room, name }) {
  const [me] = await Promise.all([
    self === null ? connection.request("/whoami") : { id: self },
    connection.request("/join", { room, username: name }),
  ]);
  self = me.id;
  if (present === null) people.clear();
  people.addSelf(self, name);
  showPresent({ room, name });
  askWho(0);
  setTimeout(ping, FIRST_PING_MS);
}

/** Asks for the list of members, unless that was done less than `every` ms ago. */
function askWho(every = WHO_EVERY_MS) {
  const now = performance.now();
  if (!present || now - whoAskedAt < every) return;
  whoAskedAt = now;
  const { room } = present;
  people.load(connection.request("/who", { room }).then((reply) => reply.members, () => undefined));
}

function roomFromHash() {
  let hash = location.hash.slice(1);
  try {
    hash = decodeURIComponent(hash);
  } catch {
    // A stray percent sign in a hand-typed link: take it as it stands.
  }
  return asRoom(hash) || DEFAULT_ROOM;
}

function asRoom(text) {
  return text.trim().replace(/^#+/, "").slice(0, 48);
}

/** The server this page came from; `?ws=/path?query` picks another path there, never a host. */
function socketUrl() {
  const path = new URLSearchParams(location.search).get("ws") ?? "/";
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/${path.replace(/^[/\\]+/, "")}`;
}

// What we show

function showState(state) {
  document.documentElement.dataset.connection = state.name;
  byId("retry").hidden = state.name !== "waiting";
  byId("line-detail").textContent = "";
  clearInterval(countdown);
  if (state.name === "open") {
    byId("line-state").textContent = "Connected";
    byId("line-announcement").textContent = "Connected";
    if (wasConnected) conversation.note("Connected again; lines said meanwhile were missed");
    wasConnected = true;
    settle();
  } else if (state.name === "connecting") {
    byId("line-state").textContent = "Connecting";
  } else {
    self = null;
    showPresent(null);
    people.stopAllTyping();
    returnUnconfirmed();
    byId("line-announcement").textContent = "Connection lost, trying again";
    showCountdown(state.until);
    countdown = setInterval(showCountdown, 250, state.until);
  }
}

function showCountdown(until) {
  const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
  byId("line-state").textContent = `Reconnecting in ${seconds} s`;
}

/** Puts lines that never came back into the message field again, so that none is lost unseen. */
function returnUnconfirmed() {
  if (unconfirmed.length === 0) return;
  const field = byId("composer-text");
  if (field.value === "") field.value = unconfirmed.join("\n");
  conversation.note("Your last words may not have arrived");
  unconfirmed = [];
  fitComposer();
}

function showPresent(next) {
  present = next;
  byId("send").disabled = present === null;
  document.documentElement.dataset.room = present?.room ?? "";
}

function showWanted() {
  const { room, name } = wanted;
  const link = `#${encodeURIComponent(room)}`;
  if (location.hash !== link) history.replaceState(null, "", link);
  byId("room").value = room;
  byId("name").value = name;
  byId("here-room").textContent = `#${room}`;
  byId("another-tab").href = link;
  byId("another-tab-too").href = link;
  document.title = `#${room} · Switchboard`;
}

async function ping() {
  if (!connection.isOpen || document.hidden) return;
  const sentAt = performance.now();
  try {
    await connection.request("/ping");
    byId("line-detail").textContent = milliseconds(performance.now() - sentAt);
  } catch (error) {
    if (error.code === "timeout") connection.drop();
  }
}

// What the reader does

function send() {
  const field = byId("composer-text");
  const text = field.value.trim();
  if (!text || !present || !connection.emit("/message", { room: present.room, text })) return;
  unconfirmed = [...unconfirmed.slice(1 - UNCONFIRMED_MAX), text];
  typingSentAt = -Infinity;
  field.value = "";
  fitComposer();
}

function tellTyping() {
  const now = performance.now();
  if (!present || !byId("composer-text").value || now - typingSentAt < TYPING_EVERY_MS) return;
  typingSentAt = now;
  connection.emit("/typing", { room: present.room });
}

/** Grows the message field with its text; the style sheet has the limit. */
function fitComposer() {
  const field = byId("composer-text");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function takeIdentity() {
  wanted.name = byId("name").value.trim() || wanted.name;
  rememberName(wanted.name);
  const room = asRoom(byId("room").value) || DEFAULT_ROOM;
  if (room === wanted.room) showWanted();
  else location.hash = encodeURIComponent(room);
  settle();
}

function recalledName() {
  try {
    return sessionStorage.getItem("name");
  } catch {
    return null;
  }
}

function rememberName(name) {
  try {
    sessionStorage.setItem("name", name);
  } catch {
    // Storage is switched off: the name lasts as long as the page.
  }
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  byId("composer-text").focus();
});
byId("composer-text").addEventListener("input", () => {
  fitComposer();
  tellTyping();
});
byId("composer-text").addEventListener("keydown", (event) => {
  // Enter also picks a word in an input method; that one is not ours.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
byId("identity").addEventListener("submit", (event) => {
  event.preventDefault();
  takeIdentity();
  byId("composer-text").focus();
});
byId("identity").addEventListener("change", takeIdentity);
byId("skip").addEventListener("click", (event) => {
  // The hash is the room, so this link may not set it.
  event.preventDefault();
  byId("composer-text").focus();
});
byId("retry").addEventListener("click", () => connection.open());
addEventListener("online", () => connection.open());
addEventListener("hashchange", () => {
  wanted.room = roomFromHash();
  showWanted();
  settle();
});
document.addEventListener("visibilitychange", ping);
setInterval(ping, PING_EVERY_MS);

rememberName(wanted.name);
showWanted();
connection.open();
if (matchMedia("(hover: hover)").matches) byId("composer-text").focus();
