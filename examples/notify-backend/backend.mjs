// Sends notifications to users by id; the server stores those for offline users.
//
// Prints a link for each user, and sends each typed line: `ann Your parcel is here`, `* Hello all`.

import { createInterface } from "node:readline";

import { Dispatcher, Message, signToken } from "switchboard-sdk/server";

const {
  API = "http://127.0.0.1:4001",
  API_KEY = "for-this-machine-alone",
  JWT_SECRET = "for-this-machine-alone-and-known-to-all",
  PAGE = "http://127.0.0.1:3000/examples/notify/",
  USERS = "ann bob",
} = process.env;

// `node backend.mjs | head -1` ends quietly, with the status that a shell gives to other programs.
process.stdout.on("error", ({ code }) => process.exit(code === "EPIPE" ? 141 : 1));

// With "redis://localhost:6379" it would send through Redis, to all nodes that share it.
const dispatcher = new Dispatcher(API, { key: API_KEY, sync: { enabled: true } });

for (const id of USERS.split(" ")) {
  // A real backend issues the token at login, after checking a password.
  const token = signToken({ id }, JWT_SECRET, { expiresIn: "12h" });
  console.log(`link for ${id}: ${PAGE}#${token}`);
}
console.log("Type a name and a message, for example: ann Your parcel is here");

for await (const line of createInterface({ input: process.stdin })) {
  const [, to, text] = /^(\S+)\s+(.+)$/.exec(line.trim()) ?? [];
  if (!text) continue;
  const notification = new Message(0, { text, at: Date.now() }, "NOTIFICATION");
  try {
    const { inboxes } = await dispatcher.dispatch(notification, [to]);
    console.log(inboxes === undefined ? "sent to everyone online" : `stored for ${to} until delivered`);
  } catch ({ code, message }) {
    console.error(`not sent: ${code}: ${message}`);
  }
}
await dispatcher.close();
