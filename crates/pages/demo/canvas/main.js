// The canvas page: up to four users on a shard draw on one sheet and see each other's cursors.
//
// Own strokes appear at once. A ripple appears when the server has sent it back, at the same time as for
// the others. Events of clients that are not on the member list are ignored.

import { byId, make } from "../dom.js";
import * as check from "./checks.js";
import { Cursors } from "./cursors.js";
import { applyColour } from "./elements.js";
import { SheetInput } from "./sheetInput.js";
import { Identity, PALETTE } from "./identity.js";
import { Ink } from "./ink.js";
import { Koji } from "./koji.js";
import { Latency } from "./latency.js";
import { Notes } from "./notes.js";
import { SendQueue } from "./sendQueue.js";
import { People } from "./people.js";
import { Ripples } from "./ripples.js";
import { Shards } from "./shards.js";

/** The capacity of a shard; small, so that a few tabs fill one and open the next. */
const SEATS = 4;

/** The interval of messages to ourselves that measure the round trip. */
const PING_INTERVAL_MS = 4000;

/** Delays the first ping, because the first rendering would add to its round trip. */
const FIRST_PING_MS = 400;

/** Without any message from the server for this long after a ping, the connection counts as lost. */
const SILENCE_MAX_MS = 12_000;

/** Ink of others arrives in batches of this duration, and appears over the same time. */
const BATCH_MS = 50;

const project = projectFromHash();
const identity = new Identity();
const sheet = byId("sheet");
const ink = new Ink(byId("ink"));
const ripples = new Ripples(byId("ripples"));
const cursors = new Cursors(byId("cursors"));
const latency = new Latency();
const notes = new Notes();
const sendQueue = new SendQueue(emitMeasured);
const shards = new Shards(`/info/${project}`, SEATS);
const people = new People(SEATS, {
  onWave: ({ id }) => koji.emit("wave", {}, [id]),
  onJoined: (person) => notes.add(person, "joined"),
  onLeft: (person) => notes.add(person, "left"),
});
const koji = new Koji(socketUrl(), {
  onState: showState,
  onClients: updateMembers,
  onEvent: receive,
});

let ownPosition = null;
let silentSince = null;
let countdown = 0;

// Events of the server

function updateMembers(clients) {
  const isFirst = !people.get(koji.clientId);
  const hasNewcomers = [...clients.keys()].some((id) => !people.get(id));
  people.update(clients, koji.clientId);
  cursors.updateOwners(ownerOf);
  // A new member takes a free colour; the others keep theirs.
  const taken = people.others.map(({ colour }) => colour);
  if (isFirst && identity.fixColour(taken)) showIdentity();
  // New members do not know our position yet.
  if (hasNewcomers && ownPosition) sendQueue.cursor(ownPosition);
  shards.refreshSoon();
}

function receive(eventName, payload, latencyMs) {
  silentSince = null;
  latency.recordServer(latencyMs);
  // The server adds the sender to every payload that is an object; this page sends no others.
  const sender = payload?.__clientId;
  if (sender === koji.clientId) latency.finish(payload.n);
  const person = people.get(sender);
  if (!person) return;
  if (eventName === "cursor") receiveCursor(person, payload);
  else if (eventName === "stroke") receiveStroke(person, payload);
  else if (eventName === "ripple") receiveRipple(person, payload);
  else if (eventName === "wave") receiveWave(person);
}

function receiveCursor(person, { x, y, gone }) {
  const position = check.position(x, y);
  if (isSelf(person)) return;
  if (gone === true) cursors.hide(person.id);
  else if (position) cursors.move(person, position);
}

function receiveStroke(person, { stroke, points }) {
  const number = check.count(stroke);
  const positions = check.positions(points);
  if (isSelf(person) || number === undefined || !positions) return;
  ink.add(person, number, positions, BATCH_MS);
  cursors.move(person, positions.at(-1));
  hideHint();
}

function receiveRipple(person, { x, y }) {
  const position = check.position(x, y);
  if (!position) return;
  ripples.add(person, position);
  hideHint();
}

function receiveWave(person) {
  if (!isSelf(person)) notes.wave(person, () => people.wave(person.id));
}

/** The user with this id; "own" is this user's own pen and its cursor when moved by keys. */
function ownerOf(id) {
  return id === "own" ? { id, ...identity.userInfo } : people.get(id);
}

function isSelf({ id }) {
  return id === koji.clientId;
}

// Input

const inputHandlers = {
  onMove(to, byKeys) {
    ownPosition = to;
    sendQueue.cursor(to);
    if (byKeys) cursors.move(ownerOf("own"), to);
    else cursors.hide("own");
  },
  onLeave() {
    ownPosition = null;
    sendQueue.cursor(null);
  },
  onDraw(stroke, positions) {
    ownPosition = positions.at(-1);
    ink.add(ownerOf("own"), stroke, positions);
    sendQueue.ink(stroke, positions);
    hideHint();
  },
  onTap(at) {
    emitMeasured("ripple", at);
  },
  onPen(isDown) {
    byId("announcement").textContent = isDown ? "Pen down" : "Pen up";
  },
};
new SheetInput(sheet, inputHandlers);

/** Sends an event and measures its round trip. */
function emitMeasured(eventName, payload, recipients) {
  if (!koji.isOpen) return false;
  return koji.emit(eventName, { ...payload, n: latency.start() }, recipients);
}

function ping() {
  if (!koji.isOpen || document.hidden) return;
  const now = performance.now();
  if (silentSince !== null && now - silentSince > SILENCE_MAX_MS) return koji.drop();
  silentSince ??= now;
  emitMeasured("ping", {}, [koji.clientId]);
}

// Addresses

/** The part of the address after "#" selects a private sheet; without it the sheet is public. */
function projectFromHash() {
  const own = location.hash.slice(1).replace(/[^A-Za-z0-9_-]/g, "").slice(0, 40);
  return own ? `canvas-${own}` : "canvas";
}

function socketUrl() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const query = new URLSearchParams({ projectId: project, maxConnectionsPerShard: SEATS });
  return `${scheme}//${location.host}/koji?${query}`;
}

// Rendering

function showState(state) {
  document.documentElement.dataset.connection = state.name;
  document.documentElement.dataset.shard = koji.shardName ?? "";
  byId("here-shard").textContent = koji.shardName?.slice(0, 40) || "No shard";
  byId("retry").hidden = state.name !== "waiting" && state.name !== "away";
  byId("retry").textContent = state.name === "away" ? "Rejoin" : "Try now";
  byId("leave").hidden = state.name !== "open";
  clearInterval(countdown);
  silentSince = null;
  if (state.name === "open") {
    showStatus("Connected", `Connected, on ${koji.shardName}`);
    shards.setOwn(koji.shardName);
    setTimeout(ping, FIRST_PING_MS);
    return;
  }
  latency.clear();
  if (state.name === "connecting") return showStatus("Connecting", "");
  people.clear();
  cursors.clear();
  notes.clear();
  shards.setOwn(null);
  if (state.name === "away") return showStatus("Left", "You left; your seat is free");
  showStatus("", "Connection lost, reconnecting");
  showCountdown(state.until);
  countdown = setInterval(showCountdown, 250, state.until);
}

function showStatus(text, announcement) {
  byId("line-state").textContent = text;
  byId("announcement").textContent = announcement;
}

function showCountdown(until) {
  const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
  byId("line-state").textContent = `Reconnecting in ${seconds} s`;
}

/** Shows our name and colour, and publishes them. */
function showIdentity() {
  byId("name").value = identity.name;
  for (const input of byId("colours").querySelectorAll("input")) {
    input.checked = input.value === identity.colour;
  }
  applyColour(document.documentElement, identity.colour);
  cursors.updateOwners(ownerOf);
  koji.setUserInfo(identity.userInfo);
}

function hideHint() {
  byId("hint").classList.add("is-done");
}

function showPalette() {
  for (const { name, colour } of PALETTE) {
    const input = make("input");
    Object.assign(input, { type: "radio", name: "colour", value: colour, ariaLabel: name });
    const swatch = make("label", "swatch", input);
    swatch.title = name;
    applyColour(swatch, colour);
    byId("colours").append(swatch);
  }
}

function applyName() {
  identity.rename(byId("name").value);
  showIdentity();
}

byId("identity").addEventListener("submit", (event) => {
  event.preventDefault();
  applyName();
  sheet.focus();
});
byId("name").addEventListener("change", applyName);
byId("colours").addEventListener("change", (event) => {
  identity.chooseColour(event.target.value);
  showIdentity();
});
// Each of these buttons hides itself, so the focus must move.
byId("retry").addEventListener("click", () => {
  koji.open();
  sheet.focus({ preventScroll: true });
});
byId("leave").addEventListener("click", () => {
  koji.leave();
  byId("retry").focus();
});
byId("skip").addEventListener("click", (event) => {
  // The part after "#" is the name of the sheet, so this link must not set it.
  event.preventDefault();
  sheet.focus();
});
addEventListener("online", () => {
  // A user who left stays disconnected when the network returns.
  if (document.documentElement.dataset.connection === "waiting") koji.open();
});
addEventListener("hashchange", () => location.reload());
document.addEventListener("visibilitychange", ping);
setInterval(ping, PING_INTERVAL_MS);

for (const link of document.querySelectorAll("a.another-tab")) link.href = location.href;
showPalette();
showIdentity();
koji.open();
