/** Tests in Node, against the real server. Those in a browser are run by the same command. */

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Some start servers and browsers; more at once would only wait for each other.
    maxWorkers: 2,
  },
});
