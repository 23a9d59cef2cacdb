// A server process on loopback. Plain JavaScript, so that the browser tests in crates/cli can import it without a build.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

/** Time limits for printing the address after the start, and for exiting after a signal. */
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

/** How much of the log is kept for a message about an unexpected exit. */
const LOG_CHARACTERS = 4000;

/**
 * Starts a server and waits until it prints its address. Returns its port, and a function that sends a signal, waits
 * for the exit, and returns the signal that ended the process, or null if it had ended before or exited by itself.
 * `exited` resolves to the exit code, the signal and the end of the log.
 */
export async function spawnServer(binary, args) {
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
  const exit = once(child, "exit");
  // A test that fails early must not leave the server running.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  const port = await listeningPort(child, binary);
  let log = "";
  child.stderr.on("data", (chunk) => (log = (log + chunk).slice(-LOG_CHARACTERS)));
  const exited = exit.then(([code, signal]) => ({ code, signal, log }));
  return { port, exited, stop: (signal) => stop(child, exit, signal) };
}

/**
 * Returns a port that is free at this moment, for a server that restarts on the same port.
 *
 * It is below the ephemeral range, whose ports the system may assign in the meantime, and above the low ports that
 * browsers block.
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

function listeningPort(child, binary) {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (reason) => {
      child.kill("SIGKILL");
      reject(new Error(`${binary}: ${reason}; its output:\n${output}`));
    };
    const timer = setTimeout(fail, START_TIMEOUT_MS, "it did not print its address");
    const read = (chunk) => {
      output += chunk;
      const port = /127\.0\.0\.1:(\d+)(?=\D)/.exec(output)?.[1];
      if (!port) return;
      clearTimeout(timer);
      // Keep reading: a full pipe would block a server that logs.
      for (const stream of [child.stdout, child.stderr]) stream.off("data", read).resume();
      resolve(Number(port));
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.on("error", (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    child.on("exit", (code) => {
      clearTimeout(timer);
      fail(`it exited with ${code}`);
    });
  });
}

async function stop(child, exit, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return null;
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  child.kill(signal);
  const [, endedBy] = await exit;
  clearTimeout(timer);
  return endedBy;
}
