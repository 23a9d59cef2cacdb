/**
 * How long clients are away when their server crashes and comes back: the times until each is connected
 * again, beside what full jitter promises.
 *
 * Starts the server (`TEST_BINARY`, or what `cargo build` leaves), connects clients of `/client`, kills it by
 * its pid, starts it again on the same port, and measures from the moment it listens and from the crash.
 *
 * `npm run build`, `npm ci` here, then `node reconnect.mjs [clients] [seconds away]`.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";

import { EmitClient } from "../dist/client.js";

const CLIENTS = Number(process.argv[2] ?? 1000);
const AWAY_MS = Number(process.argv[3] ?? 3) * 1000;
const DELAY_MS = 500;
const MAX_DELAY_MS = 20_000;
const BUCKET_MS = 500;
const BINARY = process.env.TEST_BINARY ?? fileURLToPath(new URL("../../../target/debug/switchboard", import.meta.url));

const first = await started(0);
const options = { WebSocket, reconnect: true, maxRetries: Infinity, reconnectDelay: DELAY_MS, maxReconnectDelay: MAX_DELAY_MS };
const clients = await Promise.all(
  Array.from({ length: CLIENTS }, () => EmitClient.connect(`ws://127.0.0.1:${first.port}`, options)),
);

const back = [];
let tries = 0;
const allBack = new Promise((resolve) => {
  for (const client of clients) {
    client.on("@state", ({ state, error }) => void (state === "reconnecting" && error && tries++));
    client.on("@reconnect", () => back.push(performance.now()) === CLIENTS && resolve());
  }
});
const crash = performance.now();
first.child.kill("SIGKILL");
await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
const second = await started(first.port);
const up = performance.now();
await allBack;

show(back.map((at) => at - crash), promised(CLIENTS * 100, up - crash), up - crash);
await Promise.all(clients.map((client) => client.close()));
second.child.kill("SIGTERM");

/** A server that listens, and its port. */
async function started(port) {
  const child = spawn(BINARY, ["demo", "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "pipe"] });
  child.once("error", (error) => fail(`${BINARY}: ${error.message}`));
  process.once("exit", () => child.kill("SIGKILL"));
  let said = "";
  for (;;) {
    const [chunk] = await Promise.race([once(child.stdout, "data"), once(child.stderr, "data"), once(child, "exit")]);
    if (child.exitCode !== null) fail(said);
    const bound = /127\.0\.0\.1:(\d+)(?=\D)/.exec((said += chunk))?.[1];
    if (!bound) continue;
    for (const stream of [child.stdout, child.stderr]) stream.resume();
    return { child, port: Number(bound) };
  }
}

function fail(why) {
  console.error(`the server did not start: ${why}`);
  process.exit(1);
}

/** The same by arithmetic alone: waits spread evenly from 0 to a doubling bound, until the server is up. */
function promised(count, upAfter) {
  return Array.from({ length: count }, () => {
    let at = 0;
    for (let attempt = 0; ; attempt++) {
      at += Math.min(MAX_DELAY_MS, DELAY_MS * 2 ** attempt) * Math.random();
      if (at >= upAfter) return at;
    }
  });
}

function show(measured, expected, upAfter) {
  const seconds = (ms) => (ms / 1000).toFixed(1);
  console.log(`${CLIENTS} clients, server away for ${seconds(upAfter)} s, first wait up to ${DELAY_MS} ms, Node ${process.version}`);
  console.log(`${(tries / CLIENTS).toFixed(1)} tries in vain each\n\n    s   measured  promised`);
  const most = Math.max(...measured, upAfter);
  for (let from = Math.floor(upAfter / BUCKET_MS) * BUCKET_MS; from <= most; from += BUCKET_MS) {
    const share = (times) => times.filter((at) => at >= from && at < from + BUCKET_MS).length / times.length;
    const bar = "#".repeat(Math.round(share(measured) * 100));
    const percent = (times) => `${(share(times) * 100).toFixed(1)} %`.padStart(9);
    console.log(`${seconds(from).padStart(5)} ${percent(measured)} ${percent(expected)}  ${bar}`);
  }
  const at = (times, part) => times.toSorted((a, b) => a - b)[Math.ceil(times.length * part) - 1];
  console.log("\n    of clients  back after  promised  ratio");
  for (const part of [0.5, 0.9, 0.99]) {
    const [ours, theirs] = [at(measured, part), at(expected, part)];
    console.log(`${`${part * 100} %`.padStart(14)}  ${seconds(ours).padStart(8)} s  ${seconds(theirs).padStart(6)} s  ${(ours / theirs).toFixed(2)}`);
  }
  const busiest = Math.max(...measured.map((at) => measured.filter((other) => other >= at && other < at + 100).length));
  console.log(`\nmost in 100 ms: ${busiest}, which is ${((busiest / CLIENTS) * 100).toFixed(1)} % of all`);
}
