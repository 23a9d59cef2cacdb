/** Tests against the real server, in Node and a browser; the hooks run with React 18 as well as 19. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const react18 = fileURLToPath(new URL("tests/react18/node_modules/", import.meta.url));

const test = {
  // Each wait has its own limit; this one is for a whole test, and some run `npm install` and `tsc`.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 15_000 } },
  // As for the Rust tests: `./test` says why.
  retry: process.env["CI"] === "true" ? 1 : 0,
  // Some start servers and browsers; more workers would only compete for the CPU.
  maxWorkers: 2,
};

export default defineConfig({
  test: {
    ...test,
    projects: [
      { test: { ...test, name: "all", include: ["tests/**/*.test.ts"], exclude: ["**/node_modules/**"] } },
      {
        test: { ...test, name: "React 18", include: ["tests/node/react.test.ts"], env: { REACT: "18" } },
        resolve: { alias: [{ find: /^(react|react-dom)(?=\/|$)/, replacement: `${react18}$1` }] },
      },
    ],
  },
});
