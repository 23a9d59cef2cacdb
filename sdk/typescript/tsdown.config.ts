/** Builds each entry as ESM and CJS with types; what entries share is shared in the output too. */

import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    client: "src/client/index.ts",
    dispatch: "src/dispatch/index.ts",
    mesa: "src/mesa/index.ts",
    react: "src/react/index.ts",
    server: "src/server/index.ts",
  },
  format: ["esm", "cjs"],
  platform: "neutral",
  target: "es2022",
  // Of Node alone, for `server`.
  deps: { neverBundle: ["node:crypto"] },
  dts: true,
  clean: true,
  // The default beside the names is meant; CJS projects take it as `.default`.
  outputOptions: { exports: "named" },
  // Frameworks that render on servers have to know which components run in the browser.
  plugins: [
    {
      name: "use-client",
      renderChunk: (code: string, { fileName }: { fileName: string }) =>
        /^react\.c?js$/.test(fileName) ? `"use client";\n${code}` : null,
    },
  ],
});
