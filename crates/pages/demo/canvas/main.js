// The canvas page: up to four people on a shard draw on one sheet and see each other's cursors.
//
// What we draw shows at once. A ripple shows when the server has sent it back, as it does for
// everyone. Who is not on the shard's list is not heard.

import { byId, make } from "../dom.js";
import * as check from "./checks.js";
import { Cursors } from "./cursors.js";
import { dress } from "./elements.js";
import { Hand } from "./hand.js";
import { Identity, PALETTE } from "./identity.js";
import { Ink } from "./ink.js";
import { Koji } from "./koji.js";
import { Latency } from "./latency.js";
import { Notes } from "./notes.js";
import { Pace } from "./pace.js";
import { People } from "./people.js";
import { Ripples } from "./ripples.js";
import { Shards } from "./shards.js";

/** People on one shard. Small, so that a few tabs fill one and open the next. */
const SEATS = 4;

/** How often a message to ourselves measures the round trip while the hand rests. */
const PING_EVERY_MS = 4000;

/** Drawing the page for the first time would count as round trip, so the first one waits. */
const FIRST_PING_MS = 400;

/** Without a word from the server for this long after such a message, the line counts as dead. */
const SILENCE_MAX_MS = 12_000;

/** Others' ink arrives in bundles of this time, and shows over the same. */
const BUNDLE_MS = 50;

const project = projectFromHash();
const identity = new Identity();
const sheet = byId("sheet");
const ink = new Ink(byId("ink"));
const ripples = new Ripples(byId("ripples"));
const cursors = new Cursors(byId("cursors"));
const latency = new Latency();
const notes = new Notes();
const pace = new Pace(emitMeasured);
const shards = new Shards(`/info/${project}`, SEATS);
const people = new People(SEATS, {
  onWave: ({ id }) => koji.emit("wave", {}, [id]),
  onCame: (person) => notes.say(person, "came in"),
  onLeft: (person) => notes.say(person, "left"),
});
const koji = new Koji(socketUrl(), {
  onState: showState,
  onClients: meet,
  onEvent: hear,
});

let ownPlace = null;
let silentSince = null;
let countdown = 0;

// What the server says

function meet(clients) {
  const isFirst = !people.get(koji.clientId);
  const hasStrangers = [...clients.keys()].some((id) => !people.get(id));
  people.update(clients, koji.clientId);
  cursors.keep(ownerOf);
  // Whoever comes in takes a colour that is free; those who were here keep theirs.
  const taken = people.others.map(({ colour }) => colour);
  if (isFirst && identity.settle(taken)) showIdentity();
  // Those who have just come have not seen where we are.
  if (hasStrangers && ownPlace) pace.cursor(ownPlace);
  shards.lookSoon();
}

function hear(eventName, payload, latencyMs) {
  silentSince = null;
  latency.serverSays(latencyMs);
  // The server writes the sender into every object; anything else is not from a page like this.
  const sender = payload?.__clientId;
  if (sender === koji.clientId) latency.comeBack(payload.n);
  const person = people.get(sender);
  if (!person) return;
  if (eventName === "cursor") hearCursor(person, payload);
  else if (eventName === "stroke") hearStroke(person, payload);
  else if (eventName === "ripple") hearRipple(person, payload);
  else if (eventName === "wave") hearWave(person);
}

function hearCursor(person, { x, y, gone }) {
  const place = check.place(x, y);
  if (isSelf(person)) return;
  if (gone === true) cursors.hide(person.id);
  else if (place) cursors.move(person, place);
}

function hearStroke(person, { stroke, points }) {
  const number = check.count(stroke);
  const places = check.places(points);
  if (isSelf(person) || number === undefined || !places) return;
  ink.add(person, number, places, BUNDLE_MS);
  cursors.move(person, places.at(-1));
  hideHint();
}

function hearRipple(person, { x, y }) {
  const place = check.place(x, y);
  if (!place) return;
  ripples.add(person, place);
  hideHint();
}

function hearWave(person) {
  if (!isSelf(person)) notes.wave(person, () => people.wave(person.id));
}

/** Who has this id; "own" is ours on this page, as a cursor moved by keys and as a pen. */
function ownerOf(id) {
  return id === "own" ? { id, ...identity.userInfo } : people.get(id);
}

function isSelf({ id }) {
  return id === koji.clientId;
}

// What we do

const hand = {
  onMove(to, byKeys) {
    ownPlace = to;
    pace.cursor(to);
    if (byKeys) cursors.move(ownerOf("own"), to);
    else cursors.hide("own");
  },
  onLeave() {
    ownPlace = null;
    pace.cursor(null);
  },
  onDraw(stroke, places) {
    ownPlace = places.at(-1);
    ink.add(ownerOf("own"), stroke, places);
    pace.ink(stroke, places);
    hideHint();
  },
  onTap(at) {
    emitMeasured("ripple", at);
  },
  onPen(isDown) {
    byId("announcement").textContent = isDown ? "Pen down" : "Pen up";
  },
};
new Hand(sheet, hand);

/** Sends an event whose way back is measured. */
function emitMeasured(eventName, payload, recipients) {
  if (!koji.isOpen) return false;
  return koji.emit(eventName, { ...payload, n: latency.leave() }, recipients);
}

function ping() {
  if (!koji.isOpen || document.hidden) return;
  const now = performance.now();
  if (silentSince !== null && now - silentSince > SILENCE_MAX_MS) return koji.drop();
  silentSince ??= now;
  emitMeasured("ping", {}, [koji.clientId]);
}

// Where we are

/** The part of the address after "#" picks a sheet of one's own; none is everybody's. */
function projectFromHash() {
  const own = location.hash.slice(1).replace(/[^A-Za-z0-9_-]/g, "").slice(0, 40);
  return own ? `canvas-${own}` : "canvas";
}

function socketUrl() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const query = new URLSearchParams({ projectId: project, maxConnectionsPerShard: SEATS });
  return `${scheme}//${location.host}/koji?${query}`;
}

// What we show

function showState(state) {
  document.documentElement.dataset.connection = state.name;
  document.documentElement.dataset.shard = koji.shardName ?? "";
  byId("here-shard").textContent = koji.shardName?.slice(0, 40) || "No shard";
  byId("retry").hidden = state.name !== "waiting" && state.name !== "away";
  byId("retry").textContent = state.name === "away" ? "Come back" : "Try now";
  byId("leave").hidden = state.name !== "open";
  clearInterval(countdown);
  silentSince = null;
  if (state.name === "open") {
    say("Connected", `Connected, on ${koji.shardName}`);
    shards.setOwn(koji.shardName);
    setTimeout(ping, FIRST_PING_MS);
    return;
  }
  latency.clear();
  if (state.name === "connecting") return say("Connecting", "");
  people.clear();
  cursors.clear();
  notes.clear();
  shards.setOwn(null);
  if (state.name === "away") return say("Away", "You are away; your seat is free");
  say("", "Connection lost, trying again");
  showCountdown(state.until);
  countdown = setInterval(showCountdown, 250, state.until);
}

function say(text, announcement) {
  byId("line-state").textContent = text;
  byId("announcement").textContent = announcement;
}

function showCountdown(until) {
  const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
  byId("line-state").textContent = `Reconnecting in ${seconds} s`;
}

/** Shows who we are and tells the others. */
function showIdentity() {
  byId("name").value = identity.name;
  for (const input of byId("colours").querySelectorAll("input")) {
    input.checked = input.value === identity.colour;
  }
  dress(document.documentElement, identity.colour);
  cursors.keep(ownerOf);
  koji.setUserInfo(identity.userInfo);
}

function hideHint() {
  byId("hint").classList.add("is-done");
}

function paintPalette() {
  for (const { name, colour } of PALETTE) {
    const input = make("input");
    Object.assign(input, { type: "radio", name: "colour", value: colour, ariaLabel: name });
    const swatch = make("label", "swatch", input);
    swatch.title = name;
    dress(swatch, colour);
    byId("colours").append(swatch);
  }
}

function takeName() {
  identity.rename(byId("name").value);
  showIdentity();
}

byId("identity").addEventListener("submit", (event) => {
  event.preventDefault();
  takeName();
  sheet.focus();
});
byId("name").addEventListener("change", takeName);
byId("colours").addEventListener("change", (event) => {
  identity.chooseColour(event.target.value);
  showIdentity();
});
// Each of these two buttons hides itself, which would leave the focus nowhere.
byId("retry").addEventListener("click", () => {
  koji.open();
  sheet.focus({ preventScroll: true });
});
byId("leave").addEventListener("click", () => {
  koji.leave();
  byId("retry").focus();
});
byId("skip").addEventListener("click", (event) => {
  // The part after "#" is the sheet's name, so this link may not set it.
  event.preventDefault();
  sheet.focus();
});
addEventListener("online", () => {
  // Who left is not brought back by a network that did.
  if (document.documentElement.dataset.connection === "waiting") koji.open();
});
addEventListener("hashchange", () => location.reload());
document.addEventListener("visibilitychange", ping);
setInterval(ping, PING_EVERY_MS);

for (const link of document.querySelectorAll("a.another-tab")) link.href = location.href;
paintPalette();
showIdentity();
koji.open();
