// A multiplayer game without server code: up to eight players share a shard, and the first to touch the
// star scores.
//
// Pages send each other positions and catches; the server provides the member list.

import { Dispatch, DISPATCH_EVENT } from "switchboard-sdk/dispatch";

import { byId, initials, make, myName, nameField, paint, showState } from "../shared/page.js";

const SEATS = 8;
/** The minimum interval between position messages, 20 a second; a CSS transition smooths the steps. */
const SEND_INTERVAL_MS = 50;
/** Speed per second and the distance that counts as touching, both in widths of the field. */
const SPEED = 0.4;
const REACH = 0.035;
/** Width divided by height of the field; coordinates are fractions of each. */
const ASPECT = 1.6;

interface Position {
  x: number;
  y: number;
}

const me: Position = { x: 0.2 + 0.6 * Math.random(), y: 0.2 + 0.6 * Math.random() };
let score = 0;
let star = 0;

/** The events that pages send each other, and their user info. */
interface Game {
  events: { at: Position & { star: number }; caught: { star: number }; hello: undefined };
  userInfo: { name: string; score: number };
}

const dispatch = new Dispatch<Game>({ projectId: "example-star", options: { maxConnectionsPerShard: SEATS } });
showState(dispatch.connection);

// A new connection may be on another shard.
dispatch.on(DISPATCH_EVENT.CONNECTED, () => {
  for (const id of players.keys()) removePlayer(id);
  claimed = -1;
  showStar(0);
});

// Every page sends its position and the current star to new members; the server does not store them.
dispatch.onConnectedClientsChanged((clients) => {
  const newcomers = clients.map(({ clientId }) => clientId).filter((id) => !players.has(id) && id !== myId());
  for (const id of players.keys()) if (!clients.some(({ clientId }) => clientId === id)) removePlayer(id);
  for (const { clientId, userInfo } of clients) showPlayer(clientId, `${userInfo.name ?? "Someone"}`);
  if (newcomers.length) dispatch.emitEvent("at", { ...me, star }, newcomers, { volatile: true });
  moveTo(myId(), me);
  showScores();
});

dispatch.on("at", (position, { clientId }) => {
  if (clientId !== myId()) moveTo(clientId, position);
  if (position.star > star) showStar(position.star);
});

// All members receive a catch, its sender included, in the same order; the first for a star scores.
dispatch.on("caught", (caught, { clientId }) => {
  if (caught.star !== star) return;
  if (clientId === myId()) {
    score += 1;
    publishUserInfo();
  }
  showStar(star + 1);
});

dispatch.on("hello", (_, { clientId }) => {
  const player = players.get(clientId ?? "");
  player?.append(make("span", "hello", "Hello!"));
  setTimeout(() => player?.querySelector(".hello")?.remove(), 1800);
});

/** Publishes our name and score to current and later members. */
function publishUserInfo(): void {
  dispatch.setUserInfo({ name: myName(), score });
}

function myId(): string | undefined {
  return dispatch.connectionInfo?.clientId;
}

// Movement: with keys, or towards the pressed point of the field.

const KEYS: Record<string, Position> = {
  ArrowLeft: { x: -1, y: 0 }, ArrowRight: { x: 1, y: 0 }, ArrowUp: { x: 0, y: -1 }, ArrowDown: { x: 0, y: 1 },
  KeyA: { x: -1, y: 0 }, KeyD: { x: 1, y: 0 }, KeyW: { x: 0, y: -1 }, KeyS: { x: 0, y: 1 },
};
const pressed = new Set<string>();
let goal: Position | undefined;
/** The star for which we have sent a catch. */
let claimed = -1;

const world = byId("world");
addEventListener("keydown", (event) => {
  const { code, target } = event;
  if (target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
  if (code === "Space" && (target === world || target === document.body)) hello();
  else if (!(code in KEYS)) return;
  pressed.add(code);
  goal = undefined;
  event.preventDefault();
});
addEventListener("keyup", ({ code }) => pressed.delete(code));
addEventListener("blur", () => pressed.clear());
world.addEventListener("pointerdown", follow);
world.addEventListener("pointermove", (event) => event.buttons && follow(event));
byId("hello").addEventListener("click", hello);

function follow({ clientX, clientY }: PointerEvent): void {
  const box = world.getBoundingClientRect();
  goal = { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height };
}

function hello(): void {
  dispatch.emitEvent("hello", undefined, undefined, { volatile: true });
}

let steppedAt = performance.now();
let sent = { ...me };
let sentAt = 0;

function step(now: number): void {
  requestAnimationFrame(step);
  const move = direction();
  const length = Math.hypot(move.x, move.y / ASPECT);
  const stride = SPEED * Math.min(0.1, (now - steppedAt) / 1000);
  steppedAt = now;
  if (length > 0 && dispatch.state === "connected") {
    const part = goal ? Math.min(1, stride / length) : stride / length;
    me.x = clamp(me.x + move.x * part);
    me.y = clamp(me.y + move.y * part);
    if (goal && part === 1) goal = undefined;
    moveTo(myId(), me);
    catchStar();
  }
  if (now - sentAt < SEND_INTERVAL_MS || (sent.x === me.x && sent.y === me.y)) return;
  // Only the latest position matters, so it is dropped while disconnected.
  dispatch.emitEvent("at", { ...me, star }, undefined, { volatile: true });
  sent = { ...me };
  sentAt = now;
}

function direction(): Position {
  if (goal) return { x: goal.x - me.x, y: goal.y - me.y };
  const sum = { x: 0, y: 0 };
  for (const code of pressed) {
    sum.x += KEYS[code]?.x ?? 0;
    sum.y += (KEYS[code]?.y ?? 0) * ASPECT;
  }
  return sum;
}

function catchStar(): void {
  const { x, y } = starPosition(star);
  if (claimed === star || Math.hypot(x - me.x, (y - me.y) / ASPECT) > REACH) return;
  claimed = star;
  dispatch.emitEvent("caught", { star });
}

/** The position of a star is a function of its number, so all pages agree on it. */
function starPosition(number: number): Position {
  return { x: 0.08 + 0.84 * ((number * 0.618034 + 0.35) % 1), y: 0.12 + 0.76 * ((number * 0.754878 + 0.6) % 1) };
}

function clamp(part: number): number {
  return Math.min(0.97, Math.max(0.03, part));
}

// Rendering.

const players = new Map<string, HTMLElement>();

function showPlayer(id: string, name: string): void {
  let player = players.get(id);
  if (!player) {
    player = make("div", "player", make("span", "body"), make("bdi", "label"));
    player.hidden = true;
    players.set(id, player);
    byId("players").append(player);
  }
  player.classList.toggle("is-me", id === myId());
  paint(player, name);
  player.firstElementChild?.replaceChildren(initials(name));
  player.children[1]?.replaceChildren(name);
}

function removePlayer(id: string): void {
  players.get(id)?.remove();
  players.delete(id);
}

function moveTo(id: string | undefined, { x, y }: Position): void {
  const player = players.get(id ?? "");
  if (!player) return;
  player.hidden = false;
  player.style.left = `${100 * x}%`;
  player.style.top = `${100 * y}%`;
}

function showStar(number: number): void {
  star = number;
  const { x, y } = starPosition(star);
  const element = byId("star");
  element.removeAttribute("hidden");
  element.dataset["number"] = String(star);
  element.style.left = `${100 * x}%`;
  element.style.top = `${100 * y}%`;
}

function showScores(): void {
  const { connectedClients: clients, connectionInfo } = dispatch;
  const rows = clients.map(({ clientId, userInfo }) => ({
    id: clientId,
    name: `${userInfo["name"] ?? "Someone"}`,
    score: Number(userInfo["score"] ?? 0),
  }));
  rows.sort((a, b) => b.score - a.score);
  byId("shard").textContent = connectionInfo?.shardName ?? "No shard";
  byId("count").textContent = clients.length ? `${clients.length} of ${SEATS}` : "";
  byId("people").replaceChildren(...rows.map(({ id, name, score }) => {
    const dot = make("span", "dot");
    paint(dot, name);
    const row = make("li", "person", dot, make("bdi", "", name), make("span", "you", id === myId() ? "you" : ""));
    row.append(make("span", "score", String(score)));
    return row;
  }));
}

nameField(publishUserInfo);
publishUserInfo();
showStar(star);
void dispatch.connect({ retry: true });
requestAnimationFrame(step);
