// The server under test: the real binary, or one that is already running.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Options of each test. A timeout of a `describe` covers all its tests together and would fail the last one on a slow
 * machine.
 */
export const LIMITS = { timeout: 180_000 };

/** Timeouts for the banner of the binary, and for its end after SIGTERM. */
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * The server under test: `TEST_URL` if it is set, otherwise `TEST_BINARY demo` on a free port.
 *
 * The names do not begin with `SWITCHBOARD_`, because the server would read them as settings.
 */
export async function serverUnderTest() {
  const { TEST_URL } = process.env;
  if (TEST_URL) return { url: new URL("/", TEST_URL).href, async stop() {} };
  return startServer();
}

/** Starts the binary `TEST_BINARY` with further arguments; `url` ends in a slash. */
export async function startServer(port = 0, args = []) {
  const { TEST_BINARY } = process.env;
  if (!TEST_BINARY) throw new Error("TEST_BINARY is not set: the switchboard binary to test");
  const child = spawn(TEST_BINARY, ["demo", "--listen", `127.0.0.1:${port}`, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  // A test that ends early must not leave a server running.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  return { url: await bannerUrl(child), stop: () => stop(child, ended) };
}

/**
 * A free port, for a server that is started again on the same one.
 *
 * It is below the ports that the system assigns, because another process could get one of those meanwhile. It is
 * above the ports that browsers refuse.
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
      // The streams are read after the banner as well: a full pipe would block a server that logs.
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
  if (signal === "SIGKILL") throw new Error("the server did not end after SIGTERM");
}
