// The chat of the demo: one WebSocket per tab, and a panel with its frames.
//
// `wanted` is the room and name that the visitor chose, `joined` the ones that the server has. `sync`
// brings the server in line after the first connect, a change of room or name, and a reconnect.

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { byId } from "../dom.js";
import { People } from "./people.js";
import { asName, asText, friendlyName, milliseconds } from "../text.js";
import { mountWire, sendBead } from "./wire.js";

const PING_INTERVAL_MS = 5000;

/** Delays the first ping, because the first rendering would add to its round trip. */
const FIRST_PING_MS = 400;

/** The minimum interval between typing events; receivers show each one for longer. */
const TYPING_INTERVAL_MS = 1500;

/** The minimum interval between requests of the member list. */
const MEMBERS_INTERVAL_MS = 3000;

/** The longest message shown, in characters; other clients may send a mebibyte. */
const TEXT_MAX = 5000;

/** The limit of own messages that await their echo. */
const UNCONFIRMED_MAX = 50;

const DEFAULT_ROOM = "lobby";

const conversation = new Conversation();
const people = new People((names) => conversation.showTyping(names));
const connection = new Connection(socketUrl(), {
  onState: showState,
  onFrame: sendBead,
  onEvent: receive,
});

const wanted = { room: roomFromHash(), name: storedName() ?? friendlyName() };
let joined = null;
let self = null;
let syncing = false;
let leaving = false;
let wasConnected = false;
let unconfirmed = [];
let typingSentAt = -Infinity;
let membersRequestedAt = -Infinity;
let countdown = 0;

// Events of the server

function receive(event, data) {
  // Until the leave is acknowledged, events may still belong to the old room.
  if (leaving) return;
  if (event === "message") receiveMessage(data);
  else if (event === "user-joined") receiveJoin(data);
  else if (event === "user-left") receiveLeave(data);
  else if (event === "typing") receiveTyping(data);
}

function receiveMessage(data) {
  const name = asName(data.username);
  const text = asText(data.text, TEXT_MAX);
  // A message carries only the name of its sender, and two tabs may share a name. A message is our own
  // if it awaits its echo. Echoes arrive in order, so earlier messages without one are lost.
  const index = name === joined?.name ? unconfirmed.indexOf(text) : -1;
  const mine = index >= 0;
  unconfirmed.splice(0, index + 1);
  if (!mine) people.stopTypingAs(name);
  conversation.addMessage({ name, text, mine });
  if (!people.knowsName(name)) requestMembers();
}

function receiveJoin({ id, username }) {
  const name = asName(username);
  const before = people.add(id, name);
  if (before === undefined) conversation.addNote(`${name} joined`);
  else if (before !== name) conversation.addNote(`${before} is now ${name}`);
}

function receiveLeave({ id }) {
  const name = people.remove(id);
  if (name !== undefined) conversation.addNote(`${name} left`);
}

function receiveTyping({ id }) {
  people.startTyping(id);
  if (!people.knows(id)) requestMembers();
}

// Joining and leaving

/** Joins and leaves until `joined` equals `wanted`. Only one call runs; it reads `wanted` again each time. */
async function sync() {
  if (syncing || !connection.isOpen) return;
  syncing = true;
  try {
    while (joined?.room !== wanted.room || joined.name !== wanted.name) {
      if (joined && joined.room !== wanted.room) await leaveRoom();
      else await joinRoom({ ...wanted });
    }
  } catch (error) {
    // After a close, the next open socket calls this again. A server that does not answer is disconnected.
    if (error.code === "timeout") connection.drop();
  } finally {
    syncing = false;
    leaving = false;
  }
}

async function leaveRoom() {
  const { room } = joined;
  leaving = true;
  showJoined(null);
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
  if (joined === null) people.clear();
  people.addSelf(self, name);
  showJoined({ room, name });
  requestMembers(0);
  setTimeout(ping, FIRST_PING_MS);
}

/** Requests the member list, unless that was done less than `interval` ms ago. */
function requestMembers(interval = MEMBERS_INTERVAL_MS) {
  const now = performance.now();
  if (!joined || now - membersRequestedAt < interval) return;
  membersRequestedAt = now;
  const { room } = joined;
  people.load(connection.request("/who", { room }).then((reply) => reply.members, () => undefined));
}

function roomFromHash() {
  let hash = location.hash.slice(1);
  try {
    hash = decodeURIComponent(hash);
  } catch {
    // A stray percent sign in a hand-typed link: use the text unchanged.
  }
  return asRoom(hash) || DEFAULT_ROOM;
}

function asRoom(text) {
  return text.trim().replace(/^#+/, "").slice(0, 48);
}

/** The server of this page; `?ws=/path?query` selects another path, never another host. */
function socketUrl() {
  const path = new URLSearchParams(location.search).get("ws") ?? "/";
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/${path.replace(/^[/\\]+/, "")}`;
}

// Rendering

function showState(state) {
  document.documentElement.dataset.connection = state.name;
  byId("retry").hidden = state.name !== "waiting";
  byId("line-detail").textContent = "";
  clearInterval(countdown);
  if (state.name === "open") {
    byId("line-state").textContent = "Connected";
    byId("line-announcement").textContent = "Connected";
    if (wasConnected) conversation.addNote("Reconnected; messages sent in the meantime were missed");
    wasConnected = true;
    sync();
  } else if (state.name === "connecting") {
    byId("line-state").textContent = "Connecting";
  } else {
    self = null;
    showJoined(null);
    people.stopAllTyping();
    returnUnconfirmed();
    byId("line-announcement").textContent = "Connection lost, reconnecting";
    showCountdown(state.until);
    countdown = setInterval(showCountdown, 250, state.until);
  }
}

function showCountdown(until) {
  const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
  byId("line-state").textContent = `Reconnecting in ${seconds} s`;
}

/** Puts messages without an echo back into the message field, so that none is lost silently. */
function returnUnconfirmed() {
  if (unconfirmed.length === 0) return;
  const field = byId("composer-text");
  if (field.value === "") field.value = unconfirmed.join("\n");
  conversation.addNote("Your last message may not have been delivered");
  unconfirmed = [];
  fitComposer();
}

function showJoined(next) {
  joined = next;
  byId("send").disabled = joined === null;
  document.documentElement.dataset.room = joined?.room ?? "";
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

// Input

function send() {
  const field = byId("composer-text");
  const text = field.value.trim();
  if (!text || !joined || !connection.emit("/message", { room: joined.room, text })) return;
  unconfirmed = [...unconfirmed.slice(1 - UNCONFIRMED_MAX), text];
  typingSentAt = -Infinity;
  field.value = "";
  fitComposer();
}

function sendTyping() {
  const now = performance.now();
  if (!joined || !byId("composer-text").value || now - typingSentAt < TYPING_INTERVAL_MS) return;
  typingSentAt = now;
  connection.emit("/typing", { room: joined.room });
}

/** Fits the height of the message field to its text; the style sheet limits it. */
function fitComposer() {
  const field = byId("composer-text");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function applyIdentity() {
  wanted.name = byId("name").value.trim() || wanted.name;
  storeName(wanted.name);
  const room = asRoom(byId("room").value) || DEFAULT_ROOM;
  if (room === wanted.room) showWanted();
  else location.hash = encodeURIComponent(room);
  sync();
}

function storedName() {
  try {
    return sessionStorage.getItem("name");
  } catch {
    return null;
  }
}

function storeName(name) {
  try {
    sessionStorage.setItem("name", name);
  } catch {
    // Storage is disabled: the name is lost on reload.
  }
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  byId("composer-text").focus();
});
byId("composer-text").addEventListener("input", () => {
  fitComposer();
  sendTyping();
});
byId("composer-text").addEventListener("keydown", (event) => {
  // Enter also confirms a word in an input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
byId("identity").addEventListener("submit", (event) => {
  event.preventDefault();
  applyIdentity();
  byId("composer-text").focus();
});
byId("identity").addEventListener("change", applyIdentity);
byId("skip").addEventListener("click", (event) => {
  // The hash is the room, so this link must not set it.
  event.preventDefault();
  byId("composer-text").focus();
});
byId("retry").addEventListener("click", () => connection.open());
addEventListener("online", () => connection.open());
addEventListener("hashchange", () => {
  wanted.room = roomFromHash();
  showWanted();
  sync();
});
document.addEventListener("visibilitychange", ping);
setInterval(ping, PING_INTERVAL_MS);

storeName(wanted.name);
showWanted();
await mountWire();
connection.open();
// In a frame it would take the focus from the page around it.
if (window.parent === window && matchMedia("(hover: hover)").matches) byId("composer-text").focus();
