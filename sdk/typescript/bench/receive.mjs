/**
 * The number of messages that a client receives per second on one core, compared with other clients.
 *
 * A second process sends the same data to each client, in the frames of its protocol. The result is based on
 * the CPU time of this process, so the speed of the sender does not matter. All clients use the WebSocket of
 * the package `ws`. `reconnecting-websocket` has no events: it parses and counts.
 *
 * `npm run build`, then `npm ci` here and `node receive.mjs [messages]`.
 */

import { Centrifuge } from "centrifuge";
import { fork } from "node:child_process";
import { once } from "node:events";
import ReconnectingWebSocket from "reconnecting-websocket";
import { io } from "socket.io-client";
import { WebSocket, WebSocketServer } from "ws";

import { EmitClient } from "../dist/client.js";
import { Dispatch } from "../dist/dispatch.js";
import { numberArgument } from "./command.mjs";

const MESSAGES = numberArgument(0, "the number of messages", 200_000, 1e9);
const ROUNDS = 5;
const DATA = { username: "Ann", text: "x".repeat(64), at: [1, 2, 3] };

/** The server's side of each protocol: its greeting, its answer to the first message, and an event. */
const PROTOCOLS = {
  emit: { message: JSON.stringify({ event: "message", data: DATA }) },
  koji: {
    hello: JSON.stringify({ eventName: "@@KOJI_DISPATCH/CONNECTED", payload: { clientId: "a", shardName: "s" }, latencyMs: 0 }),
    message: JSON.stringify({ eventName: "message", payload: DATA, latencyMs: 0 }),
  },
  socketio: {
    hello: '0{"sid":"a","upgrades":[],"pingInterval":60000,"pingTimeout":60000,"maxPayload":1000000}',
    answer: '40{"sid":"a"}',
    message: `42${JSON.stringify(["message", DATA])}`,
  },
  centrifuge: {
    answer: '{"id":1,"connect":{"client":"a","version":"1","subs":{"c":{}}}}',
    message: JSON.stringify({ push: { channel: "c", pub: { data: DATA } } }),
  },
};

/** Each connects, calls `count` for every message, and returns a function that closes it. */
const CLIENTS = {
  "switchboard-sdk/client": async (url, count) => {
    const client = await EmitClient.connect(`${url}/emit`, { WebSocket });
    client.on("message", count);
    return () => client.close();
  },
  "switchboard-sdk/dispatch": async (url, count) => {
    const dispatch = new Dispatch({ projectId: "p", host: url, options: { WebSocket } });
    dispatch.on("message", count);
    await dispatch.connect();
    return () => dispatch.disconnect();
  },
  "socket.io-client": async (url, count) => {
    const socket = io(url, { transports: ["websocket"], path: "/socketio" });
    socket.on("message", count);
    await new Promise((resolve) => socket.on("connect", resolve));
    return () => socket.close();
  },
  centrifuge: async (url, count) => {
    const client = new Centrifuge(`${url}/centrifuge`, { websocket: WebSocket });
    client.on("publication", count);
    client.connect();
    await client.ready();
    return () => client.disconnect();
  },
  "reconnecting-websocket": async (url, count) => {
    const socket = new ReconnectingWebSocket(`${url}/emit`, [], { WebSocket });
    socket.onmessage = ({ data }) => count(JSON.parse(data).data);
    await new Promise((resolve) => (socket.onopen = resolve));
    return () => socket.close();
  },
};

if (process.send) serve();
else await compare();

function serve() {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  const peers = new Set();
  server.on("connection", (socket, { url }) => {
    const protocol = PROTOCOLS[/^\/(\w+)/.exec(url)[1]];
    if (protocol.hello) socket.send(protocol.hello);
    if (protocol.answer) socket.once("message", () => socket.send(protocol.answer));
    const peer = [socket, protocol.message];
    peers.add(peer);
    socket.on("close", () => peers.delete(peer));
  });
  process.on("message", (messages) => {
    for (const [socket, message] of [...peers].slice(-1)) for (let i = 0; i < messages; i++) socket.send(message);
  });
  process.on("disconnect", () => process.exit());
  server.on("listening", () => process.send(server.address().port));
}

async function compare() {
  const sender = fork(new URL(import.meta.url).pathname);
  const [port] = await once(sender, "message");
  const rates = Object.fromEntries(Object.keys(CLIENTS).map((name) => [name, []]));
  // Alternating rounds spread other load on the machine over all clients.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, connect] of Object.entries(CLIENTS)) {
      const rate = await measure(sender, `ws://127.0.0.1:${port}`, connect);
      // The first round warms up the JIT compiler.
      if (round) rates[name].push(rate);
    }
  }
  sender.kill();
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const own = median(rates["switchboard-sdk/client"]);
  console.log(`${MESSAGES} messages of ${PROTOCOLS.emit.message.length} bytes, median of ${ROUNDS} rounds, Node ${process.version}`);
  for (const [name, values] of Object.entries(rates)) {
    const rate = median(values);
    console.log(`${name.padEnd(28)}${Math.round(rate).toLocaleString("en").padStart(12)} messages/s per core ${(rate / own).toFixed(2)}`);
  }
}

/** Messages per second of this process's CPU time. */
async function measure(sender, url, connect) {
  let left = MESSAGES;
  let done;
  const finished = new Promise((resolve) => (done = resolve));
  const close = await connect(url, () => --left || done());
  const before = process.cpuUsage();
  sender.send(MESSAGES);
  await finished;
  const { user, system } = process.cpuUsage(before);
  await close();
  return (MESSAGES * 1e6) / (user + system);
}
