// The notifications of one user, sent by a backend: examples/notify-backend/backend.mjs.
//
// The token identifies the user. The server stores notifications while the user has no tab open.

import { Client } from "switchboard-sdk/mesa";

import { badge, byId, hashOf, make, showState } from "../shared/page.js";

/** A notification, stored for the lifetime of the tab. */
interface Notification {
  text: string;
  at: number;
  wasStored: boolean;
  isRead: boolean;
}

const STORED_MAX = 100;
const TOKEN = "notify-token";

let user = "";
let notifications: Notification[] = [];

// The link carries the token after #, which browsers do not send to servers. It is removed from the address bar.
const linked = hashOf(location);
if (linked) sessionStorage.setItem(TOKEN, linked);
history.replaceState(null, "", location.pathname);
window.addEventListener("hashchange", () => location.reload());

const token = sessionStorage.getItem(TOKEN);
if (token) open(token);
else logIn();

function open(token: string): void {
  const client = new Client("/mesa", { authorization: token, reconnect: true });
  showState(client.connection);
  client.on("authenticated", (account) => {
    user = String((account as { id: unknown }).id);
    notifications = stored();
    byId("notifications").replaceChildren(...notifications.map(row));
    byId("user").replaceChildren(badge(user), make("bdi", "", user));
    byId("example").textContent = `${user} Your parcel is here`;
    for (const id of ["inbox", "bell", "logout"]) byId(id).hidden = false;
    show();
  });
  client.on("message", ({ type, data, isRedelivered }) => {
    if (type !== "NOTIFICATION") return;
    const { text, at } = data as { text: unknown; at: unknown };
    const notification = { text: `${text}`, at: Number(at), wasStored: isRedelivered, isRead: false };
    notifications = [notification, ...notifications].slice(0, STORED_MAX);
    byId("notifications").prepend(row(notification));
    show();
  });
  client.on("error", ({ code }) => {
    if (code !== "authentication_failed") return;
    sessionStorage.removeItem(TOKEN);
    logIn("The server rejected this token. The backend prints new ones when it starts.");
  });
}

function logIn(problem = ""): void {
  for (const id of ["inbox", "bell", "logout"]) byId(id).hidden = true;
  byId("start").hidden = false;
  byId("login-error").textContent = problem;
}

/** The notifications of this tab before a reload. */
function stored(): Notification[] {
  return JSON.parse(sessionStorage.getItem(`notify-${user}`) ?? "[]") as Notification[];
}

function show(): void {
  sessionStorage.setItem(`notify-${user}`, JSON.stringify(notifications));
  const unread = notifications.filter(({ isRead }) => !isRead).length;
  document.title = `${unread ? `(${unread}) ` : ""}Notifications · Switchboard`;
  byId("count").hidden = !unread;
  byId("count").textContent = String(unread);
  byId("count").ariaLabel = `${unread} unread`;
  byId<HTMLButtonElement>("read").disabled = !unread;
  byId("empty").hidden = notifications.length > 0;
  const list = byId("notifications");
  while (list.children.length > notifications.length) list.lastElementChild?.remove();
  notifications.forEach(({ isRead }, index) => list.children[index]?.classList.toggle("is-unread", !isRead));
}

function row({ text, at, wasStored }: Notification): HTMLElement {
  const time = make("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  const item = make("li", "notification", make("p", "", text), time);
  if (wasStored) item.append(make("span", "waited", "while you were offline"));
  return item;
}

byId("read").addEventListener("click", () => {
  for (const notification of notifications) notification.isRead = true;
  show();
});

byId("logout").addEventListener("click", () => {
  sessionStorage.clear();
  location.reload();
});

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId<HTMLInputElement>("token").value.trim());
  location.reload();
});
