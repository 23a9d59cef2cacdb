// The server under test: the real binary, or one that is already running.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * For each test. A limit of a `describe` is one for all its tests together, so on a slow machine it ends the last
 * of them, though none is slow.
 */
export const LIMITS = { timeout: 180_000 };

/** How long the binary may take to print its banner, or to end when told to. */
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * The server the tests talk to: `TEST_URL` if that is set, else `TEST_BINARY demo` on a free port.
 *
 * The names do not begin with `SWITCHBOARD_`: the server would take them for settings.
 */
export async function serverUnderTest() {
  const { TEST_URL } = process.env;
  if (TEST_URL) return { url: new URL("/", TEST_URL).href, async stop() {} };
  return startServer();
}

/** Starts the binary named by `TEST_BINARY`, with more arguments if there are any; `url` ends in a slash. */
export async function startServer(port = 0, args = []) {
  const { TEST_BINARY } = process.env;
  if (!TEST_BINARY) throw new Error("TEST_BINARY is not set: the switchboard binary to test");
  const child = spawn(TEST_BINARY, ["demo", "--listen", `127.0.0.1:${port}`, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  // A test that ends early must leave no server behind.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  return { url: await bannerUrl(child), stop: () => stop(child, ended) };
}

/**
 * A port nobody listens on at this moment, for a server that must come back on the same one.
 *
 * It is below those that the system gives out by itself: one of these may be anybody's by then. Browsers
 * refuse some that are lower still.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer().listen(port, "127.0.0.1");
    const isFree = await once(probe, "listening").then(() => true, () => false);
    if (!isFree) continue;
    probe.close();
    await once(probe, "close");
    return port;
  }
}

function bannerUrl(child) {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (why) => {
      child.kill("SIGKILL");
      reject(new Error(`${why}; it printed:\n${output}`));
    };
    const timer = setTimeout(fail, START_TIMEOUT_MS, "the server printed no URL in time");
    const read = (chunk) => {
      output += chunk;
      const [url] = output.match(/http:\/\/127\.0\.0\.1:\d+(?=\D)/) ?? [];
      if (!url) return;
      clearTimeout(timer);
      // Reading goes on after the banner: a full pipe would stop a server that logs.
      for (const stream of [child.stdout, child.stderr]) stream.off("data", read).resume();
      resolve(`${url}/`);
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => {
      clearTimeout(timer);
      fail(`the server ended with ${code}`);
    });
  });
}

async function stop(child, ended) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  child.kill("SIGTERM");
  const [, signal] = await ended;
  clearTimeout(timer);
  if (signal === "SIGKILL") throw new Error("the server did not end when told to");
}
