// A multiplayer game without server code: up to eight pages share a shard, and whoever touches the
// star first has a point.
//
// Pages tell one another where they are and what they caught; the server says who is there.

import { Dispatch, DISPATCH_EVENT } from "switchboard-sdk/dispatch";

import { byId, initials, make, myName, nameField, paint, showState } from "../shared/page.js";

const SEATS = 8;
/** Messages on our way, at most 20 a second; the style sheet glides from one to the next. */
const TELL_EVERY_MS = 50;
/** Fields per second, and how close counts as touching, both in widths of the field. */
const SPEED = 0.4;
const REACH = 0.035;
/** The field is 16 to 10, so a step down is a larger part of it than a step aside. */
const ASPECT = 1.6;

interface Place {
  x: number;
  y: number;
}

const me: Place = { x: 0.2 + 0.6 * Math.random(), y: 0.2 + 0.6 * Math.random() };
let score = 0;
let star = 0;

const dispatch = new Dispatch({ projectId: "example-star", options: { maxConnectionsPerShard: SEATS } });
showState(dispatch.connection);

// Another connection may be on another field.
dispatch.on(DISPATCH_EVENT.CONNECTED, () => {
  for (const id of players.keys()) removePlayer(id);
  tried = -1;
  showStar(0);
});

// Whoever comes is told by each where it is and which star it is; nobody keeps that for them.
dispatch.onConnectedClientsChanged((clients) => {
  const strangers = clients.map(({ clientId }) => clientId).filter((id) => !players.has(id) && id !== myId());
  for (const id of players.keys()) if (!clients.some(({ clientId }) => clientId === id)) removePlayer(id);
  for (const { clientId, userInfo } of clients) showPlayer(clientId, `${userInfo["name"] ?? "Someone"}`);
  if (strangers.length) dispatch.emitEvent("at", { ...me, star }, strangers, { volatile: true });
  place(myId(), me);
  showScores();
});

dispatch.on<Place & { star: number }>("at", (there, { clientId }) => {
  if (clientId !== myId()) place(clientId, there);
  if (there.star > star) showStar(there.star);
});

// Everyone hears of a catch, the one who made it too; the first for this star counts.
dispatch.on<{ star: number }>("caught", (caught, { clientId }) => {
  if (caught.star !== star) return;
  if (clientId === myId()) {
    score += 1;
    introduce();
  }
  showStar(star + 1);
});

dispatch.on("hello", (_, { clientId }) => {
  const player = players.get(clientId ?? "");
  player?.append(make("span", "hello", "Hello!"));
  setTimeout(() => player?.querySelector(".hello")?.remove(), 1800);
});

/** What others know of us, also those who come later. */
function introduce(): void {
  dispatch.setUserInfo({ name: myName(), score });
}

function myId(): string | undefined {
  return dispatch.connectionInfo?.clientId;
}

// Walking: by keys, or towards where the field is pressed.

const KEYS: Record<string, Place> = {
  ArrowLeft: { x: -1, y: 0 }, ArrowRight: { x: 1, y: 0 }, ArrowUp: { x: 0, y: -1 }, ArrowDown: { x: 0, y: 1 },
  KeyA: { x: -1, y: 0 }, KeyD: { x: 1, y: 0 }, KeyW: { x: 0, y: -1 }, KeyS: { x: 0, y: 1 },
};
const pressed = new Set<string>();
let goal: Place | undefined;
let tried = -1;

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
  dispatch.emitEvent("hello", {}, undefined, { volatile: true });
}

let steppedAt = performance.now();
let told = { ...me };
let toldAt = 0;

function step(now: number): void {
  requestAnimationFrame(step);
  const way = direction();
  const length = Math.hypot(way.x, way.y / ASPECT);
  const reach = SPEED * Math.min(0.1, (now - steppedAt) / 1000);
  steppedAt = now;
  if (length > 0 && dispatch.state === "connected") {
    const part = goal ? Math.min(1, reach / length) : reach / length;
    me.x = within(me.x + way.x * part);
    me.y = within(me.y + way.y * part);
    if (goal && part === 1) goal = undefined;
    place(myId(), me);
    catchStar();
  }
  if (now - toldAt < TELL_EVERY_MS || (told.x === me.x && told.y === me.y)) return;
  // Only the latest place counts, so without a connection this is dropped.
  dispatch.emitEvent("at", { ...me, star }, undefined, { volatile: true });
  told = { ...me };
  toldAt = now;
}

function direction(): Place {
  if (goal) return { x: goal.x - me.x, y: goal.y - me.y };
  const way = { x: 0, y: 0 };
  for (const code of pressed) {
    way.x += KEYS[code]?.x ?? 0;
    way.y += (KEYS[code]?.y ?? 0) * ASPECT;
  }
  return way;
}

function catchStar(): void {
  const { x, y } = starPlace(star);
  if (tried === star || Math.hypot(x - me.x, (y - me.y) / ASPECT) > REACH) return;
  tried = star;
  dispatch.emitEvent("caught", { star });
}

/** Where a star is follows from its number, so that all pages put it in the same place. */
function starPlace(number: number): Place {
  return { x: 0.08 + 0.84 * ((number * 0.618034 + 0.35) % 1), y: 0.12 + 0.76 * ((number * 0.754878 + 0.6) % 1) };
}

function within(part: number): number {
  return Math.min(0.97, Math.max(0.03, part));
}

// From here on only drawing.

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

function place(id: string | undefined, { x, y }: Place): void {
  const player = players.get(id ?? "");
  if (!player) return;
  player.hidden = false;
  player.style.left = `${100 * x}%`;
  player.style.top = `${100 * y}%`;
}

function showStar(number: number): void {
  star = number;
  const { x, y } = starPlace(star);
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

nameField(introduce);
introduce();
showStar(star);
void dispatch.connect({ retry: true });
requestAnimationFrame(step);
