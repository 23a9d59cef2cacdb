/**
 * How long clients take to reconnect after their server crashes and restarts, compared with the times that
 * full jitter predicts.
 *
 * Starts the server (`TEST_BINARY`, by default the debug build), connects clients of `/client`, kills the
 * server by its pid, restarts it on the same port, and measures from the restart and from the crash.
 *
 * `npm run build`, `npm ci` here, then `node reconnect.mjs [clients] [seconds of downtime]`.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";

import { EmitClient } from "../dist/client.js";
import { numberArgument } from "./command.mjs";

const CLIENTS = numberArgument(0, "the number of clients", 1000, 100_000);
const DOWNTIME_MS = numberArgument(1, "the downtime in seconds", 3, 3600) * 1000;
const DELAY_MS = 500;
const MAX_DELAY_MS = 20_000;
const BUCKET_MS = 500;
const BINARY = process.env.TEST_BINARY ?? fileURLToPath(new URL("../../../target/debug/switchboard", import.meta.url));

const first = await start(0);
const options = { WebSocket, reconnect: true, maxRetries: Infinity, reconnectDelay: DELAY_MS, maxReconnectDelay: MAX_DELAY_MS };
const clients = await Promise.all(
  Array.from({ length: CLIENTS }, () => EmitClient.connect(`ws://127.0.0.1:${first.port}`, options)),
);

const back = [];
let failedAttempts = 0;
const allBack = new Promise((resolve) => {
  for (const client of clients) {
    client.on("@state", ({ state, error }) => void (state === "reconnecting" && error && failedAttempts++));
    client.on("@reconnect", () => back.push(performance.now()) === CLIENTS && resolve());
  }
});
const crash = performance.now();
first.child.kill("SIGKILL");
await new Promise((resolve) => setTimeout(resolve, DOWNTIME_MS));
const second = await start(first.port);
const up = performance.now();
await allBack;

show(back.map((at) => at - crash), expectedTimes(CLIENTS * 100, up - crash), up - crash);
await Promise.all(clients.map((client) => client.close()));
second.child.kill("SIGTERM");

/** Starts a server; returns it with its port once it listens. */
async function start(port) {
  const child = spawn(BINARY, ["demo", "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "pipe"] });
  child.once("error", (error) => fail(`${BINARY}: ${error.message}`));
  process.once("exit", () => child.kill("SIGKILL"));
  let output = "";
  for (;;) {
    const [chunk] = await Promise.race([once(child.stdout, "data"), once(child.stderr, "data"), once(child, "exit")]);
    if (child.exitCode !== null) fail(output);
    const bound = /127\.0\.0\.1:(\d+)(?=\D)/.exec((output += chunk))?.[1];
    if (!bound) continue;
    for (const stream of [child.stdout, child.stderr]) stream.resume();
    return { child, port: Number(bound) };
  }
}

function fail(reason) {
  console.error(`the server did not start: ${reason}`);
  process.exit(1);
}

/** Simulated times: delays spread evenly between 0 and a doubling ceiling, until the server is up. */
function expectedTimes(count, upAfter) {
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
  console.log(`${CLIENTS} clients, downtime ${seconds(upAfter)} s, first delay up to ${DELAY_MS} ms, Node ${process.version}`);
  console.log(`${(failedAttempts / CLIENTS).toFixed(1)} failed attempts each\n\n    s   measured  expected`);
  const most = Math.max(...measured, upAfter);
  for (let from = Math.floor(upAfter / BUCKET_MS) * BUCKET_MS; from <= most; from += BUCKET_MS) {
    const share = (times) => times.filter((at) => at >= from && at < from + BUCKET_MS).length / times.length;
    const bar = "#".repeat(Math.round(share(measured) * 100));
    const percent = (times) => `${(share(times) * 100).toFixed(1)} %`.padStart(9);
    console.log(`${seconds(from).padStart(5)} ${percent(measured)} ${percent(expected)}  ${bar}`);
  }
  const at = (times, part) => times.toSorted((a, b) => a - b)[Math.ceil(times.length * part) - 1];
  console.log("\n    of clients  back after  expected  ratio");
  for (const part of [0.5, 0.9, 0.99]) {
    const [ours, theirs] = [at(measured, part), at(expected, part)];
    console.log(`${`${part * 100} %`.padStart(14)}  ${seconds(ours).padStart(8)} s  ${seconds(theirs).padStart(6)} s  ${(ours / theirs).toFixed(2)}`);
  }
  const busiest = Math.max(...measured.map((at) => measured.filter((other) => other >= at && other < at + 100).length));
  console.log(`\nmost in 100 ms: ${busiest}, which is ${((busiest / CLIENTS) * 100).toFixed(1)} % of all`);
}
