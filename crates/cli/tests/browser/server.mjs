// The server under test: the real binary, or one that is already running.

import { spawnServer } from "../../../../sdk/typescript/tests/support/serverProcess.mjs";

export { freePort } from "../../../../sdk/typescript/tests/support/serverProcess.mjs";

/**
 * Options of each test. A timeout of a `describe` covers all its tests together and would fail the last one on a slow
 * machine.
 */
export const LIMITS = { timeout: 180_000 };

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

/** Starts the demo with further arguments; `url` ends in a slash. */
export function startServer(port = 0, args = []) {
  return start("demo", port, args);
}

/** Starts `serve` with settings. */
export function startServe(settings = []) {
  return start("serve", 0, settings.flatMap((setting) => ["--set", setting]));
}

async function start(command, port, args) {
  const { TEST_BINARY } = process.env;
  if (!TEST_BINARY) throw new Error("TEST_BINARY is not set: the switchboard binary to test");
  const server = await spawnServer(TEST_BINARY, [command, "--listen", `127.0.0.1:${port}`, ...args]);
  return {
    url: `http://127.0.0.1:${server.port}/`,
    async stop() {
      if (await server.stop("SIGTERM") === "SIGKILL") throw new Error("the server did not end after SIGTERM");
    },
  };
}
