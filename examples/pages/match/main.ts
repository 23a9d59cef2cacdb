// Matchmaking for two: a shard with two seats is a match, and the game is noughts and crosses.
//
// The server assigns the seats, so a match never has three players. The game itself runs in the two pages.

import { Dispatch, type ConnectedClient } from "switchboard-sdk/dispatch";

import { badge, byId, hashOf, make, myName, nameField, showState } from "../shared/page.js";

const LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];
const REFRESH_INTERVAL_MS = 2000;

/** The events that the two pages send each other, and their user info. */
interface Match {
  events: { move: { round: number; cell: number }; again: { round: number } };
  userInfo: { name: string };
}
type Player = ConnectedClient<Partial<Match["userInfo"]>>;

/** The members in the order of their arrival, which is the same on both pages. */
let players: readonly Player[] = [];
/** Whether the opponent has left. */
let opponentLeft = false;
/** Rounds won in this match, by seat. */
let wins = [0, 0];
let round = 0;
/** The seat that marked each cell. */
let cells: (number | undefined)[] = [];

// A link with a word after # has tables of its own.
const own = hashOf(location);
const projectId = own ? `example-one-on-one-${own.slice(0, 40)}` : "example-one-on-one";
const dispatch = new Dispatch<Match>({ projectId, options: { maxConnectionsPerShard: 2 } });
showState(dispatch.connection);

// Two members are a match; when one leaves, the seat is free for another player.
dispatch.onConnectedClientsChanged((clients) => {
  const ids = (list: readonly Player[]) => list.map(({ clientId }) => clientId).join();
  if (ids(clients) !== ids(players)) {
    opponentLeft = clients.length === 1 && players.length === 2;
    wins = [0, 0];
    begin(0);
  }
  players = clients;
  show();
  void showTables();
});

dispatch.on("move", (move, { clientId }) => {
  const seat = players.findIndex((player) => player.clientId === clientId);
  // The other page may send anything, so check the turn and that the cell is free.
  if (move.round !== round || seat !== turn() || !(move.cell in cells) || cells[move.cell] !== undefined) return;
  cells[move.cell] = seat;
  const winner = won();
  if (winner) wins[winner.seat] = (wins[winner.seat] ?? 0) + 1;
  show();
});

dispatch.on("again", (next) => {
  if (next.round !== round + 1 || !isOver()) return;
  begin(next.round);
  show();
});

function begin(next: number): void {
  round = next;
  cells = Array(9).fill(undefined);
}

/** The seat whose turn it is; the seats alternate in beginning a round. -1 if the round is over. */
function turn(): number {
  if (players.length < 2 || isOver()) return -1;
  return (cells.filter((cell) => cell !== undefined).length + round) % 2;
}

function won(): { seat: number; line: number[] } | undefined {
  for (const line of LINES) {
    const [seat, second, third] = line.map((cell) => cells[cell]);
    if (seat !== undefined && seat === second && seat === third) return { seat, line };
  }
  return undefined;
}

function isOver(): boolean {
  return won() !== undefined || !cells.includes(undefined);
}

function mySeat(): number {
  return players.findIndex(({ clientId }) => clientId === dispatch.connectionInfo?.clientId);
}

// Buttons.

byId("find").addEventListener("click", async () => {
  // Leave first, so that the server can assign a seat beside a waiting player.
  await dispatch.disconnect();
  // Rejects only if the player leaves before it resolves.
  await dispatch.connect({ retry: true }).catch(() => {});
});
byId("leave").addEventListener("click", () => void dispatch.disconnect());
byId("again").addEventListener("click", () => dispatch.emitEvent("again", { round: round + 1 }));

const buttons = Array.from({ length: 9 }, (_, cell) => {
  const button = make("button", "cell") as HTMLButtonElement;
  button.addEventListener("click", () => dispatch.emitEvent("move", { round, cell }));
  return button;
});
byId("board").append(...buttons);

nameField(publishName);
publishName();

function publishName(): void {
  dispatch.setUserInfo({ name: myName() });
}

// Rendering.

dispatch.connection.onChange(show);

function show(): void {
  const { state } = dispatch;
  const me = mySeat();
  const isMatch = state === "connected" && players.length === 2;
  const opponent = isMatch ? 1 - me : -1;
  document.documentElement.dataset["match"] = isMatch ? "on" : state === "connected" ? "waiting" : "off";
  showSeat("mine", myName(), me, isMatch);
  showSeat("theirs", isMatch ? nameOf(opponent) : "", opponent, isMatch);
  byId("status").textContent = statusText(state, isMatch, me);
  byId("find").hidden = state !== "idle" && state !== "closed" && !(state === "connected" && opponentLeft);
  byId("again").hidden = !isMatch || !isOver();
  byId("leave").hidden = state === "idle" || state === "closed";
  const winner = won();
  buttons.forEach((button, cell) => {
    const mark = MARKS[cells[cell] ?? 2];
    button.textContent = mark ?? "";
    button.ariaLabel = `Cell ${cell + 1}${mark ? `, ${mark}` : ""}`;
    button.className = `cell ${mark ? `is-${mark}` : ""} ${winner?.line.includes(cell) ? "is-won" : ""}`;
    button.disabled = !isMatch || turn() !== me || mark !== undefined;
  });
}

const MARKS = ["X", "O"];

function nameOf(seat: number): string {
  return `${players[seat]?.userInfo["name"] ?? "Someone"}`;
}

function showSeat(id: string, name: string, seat: number, isMatch: boolean): void {
  const element = byId(id);
  element.classList.toggle("is-turn", isMatch && turn() === seat);
  if (!name) return element.replaceChildren(make("span", "badge is-free"), make("span", "hint", "free seat"));
  const words = make("span", "words", make("bdi", "", name));
  if (isMatch) words.append(make("span", "hint", `${MARKS[seat]}, ${wins[seat]} won`));
  element.replaceChildren(badge(name), words);
}

function statusText(state: string, isMatch: boolean, me: number): string {
  if (state === "idle" || state === "closed") return "Ready.";
  if (state !== "connected") return "Connecting …";
  if (!isMatch) return opponentLeft ? "Your opponent left. Waiting for another …" : "Waiting for an opponent …";
  const winner = won();
  if (winner) return winner.seat === me ? "You won!" : `${nameOf(1 - me)} won.`;
  if (isOver()) return "A draw.";
  return turn() === me ? "Your turn." : `${nameOf(1 - me)} is thinking.`;
}

/** Requests all shards of the project over HTTP, and lists them. */
async function showTables(): Promise<void> {
  const tables = await dispatch.info().catch(() => []);
  byId("tables").replaceChildren(...tables.map(({ shardName, numConnectedClients: taken }) => {
    const seats = [0, 1].map((seat) => make("i", seat < taken ? "is-taken" : ""));
    const row = make("li", "", ...seats, make("span", "", shardName), make("span", "hint", taken === 2 ? "playing" : "waiting"));
    row.classList.toggle("is-mine", shardName === dispatch.connectionInfo?.shardName);
    return row;
  }));
  byId("tables").classList.toggle("is-empty", tables.length === 0);
}

begin(0);
show();
void showTables();
setInterval(() => document.hidden || void showTables(), REFRESH_INTERVAL_MS);
