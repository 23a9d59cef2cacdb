/** Builds each entry as ESM and CJS with types; entries share their common code. */

import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    client: "src/client/index.ts",
    dispatch: "src/dispatch/index.ts",
    mesa: "src/mesa/index.ts",
    react: "src/react/index.ts",
    server: "src/server/index.ts",
    devtools: "src/devtools/index.ts",
    "devtools-mount": "src/devtools/mount.ts",
  },
  format: ["esm", "cjs"],
  platform: "neutral",
  target: "es2022",
  // Node only, for `server`.
  deps: { neverBundle: ["node:crypto"] },
  dts: true,
  clean: true,
  // Default and named exports are intended; CJS projects read the default as `.default`.
  outputOptions: { exports: "named" },
  // Frameworks with server rendering need this mark on components that run in the browser.
  plugins: [
    {
      name: "use-client",
      renderChunk: (code: string, { fileName }: { fileName: string }) =>
        /^react\.c?js$/.test(fileName) ? `"use client";\n${code}` : null,
    },
  ],
});
