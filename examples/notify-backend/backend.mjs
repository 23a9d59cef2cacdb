// A backend that notifies users of a page: it knows no sockets, only ids. What is for who is away waits.
//
// It prints a link for each user, and sends each line that is typed: `ann Your parcel is here`, `* Hello all`.

import { createInterface } from "node:readline";

import { Dispatcher, Message, signToken } from "switchboard-sdk/server";

const {
  API = "http://127.0.0.1:4001",
  API_KEY = "for-this-machine-alone",
  JWT_SECRET = "for-this-machine-alone-and-known-to-all",
  PAGE = "http://127.0.0.1:3000/examples/notify/",
  USERS = "ann bob",
} = process.env;

// By "redis://localhost:6379" it would speak through Redis, to nodes that share it.
const dispatcher = new Dispatcher(API, { key: API_KEY, sync: { enabled: true } });

for (const id of USERS.split(" ")) {
  // A real one is given out at the login, after asking for a password.
  const token = signToken({ id }, JWT_SECRET, { expiresIn: "12h" });
  console.log(`${id} is here: ${PAGE}#${token}`);
}
console.log("Type a name and what to tell, such as: ann Your parcel is here");

for await (const line of createInterface({ input: process.stdin })) {
  const [, to, text] = /^(\S+)\s+(.+)$/.exec(line.trim()) ?? [];
  if (!text) continue;
  const notification = new Message(0, { text, at: Date.now() }, "NOTIFICATION");
  try {
    const { inboxes } = await dispatcher.dispatch(notification, [to]);
    console.log(inboxes === undefined ? "sent to all who are here" : `${to} has it, now or at the next login`);
  } catch ({ code, message }) {
    console.error(`not sent: ${code}: ${message}`);
  }
}
await dispatcher.close();
