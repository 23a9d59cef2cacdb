// Bundles each page into dist/: index/ becomes /examples/, every other folder /examples/<its name>/.
//
// The SDK is bundled from its sources, so it need not be built first. A page's sources are copied beside it as text,
// so that its visitors can read them.

import { cp, readdir, rm } from "node:fs/promises";
import { resolve } from "node:path";

import { build } from "esbuild";

const OUT = "dist/examples";
const PAGES = ["index", "chat", "multiplayer", "match", "presence", "notify"];

const SDK = resolve("../../sdk/typescript/src");
const SDK_ENTRIES = ["client", "dispatch", "mesa", "react"];
const alias = {
  ...Object.fromEntries(SDK_ENTRIES.map((name) => [`switchboard-sdk/${name}`, `${SDK}/${name}/index.ts`])),
  // The SDK's hooks and the pages must share one copy of React.
  react: resolve("node_modules/react"),
};

await rm("dist", { recursive: true, force: true });
// The panel that the demo's chat mounts.
await build({
  entryPoints: [`${SDK}/devtools/mount.ts`],
  outfile: "dist/devtools.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
for (const page of PAGES) {
  const out = page === "index" ? OUT : `${OUT}/${page}`;
  const files = await readdir(page);
  await build({
    entryPoints: files.filter((file) => /^(main\.tsx?|style\.css)$/.test(file)).map((file) => `${page}/${file}`),
    outdir: out,
    bundle: true,
    alias,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "warning",
  });
  await cp(`${page}/index.html`, `${out}/index.html`);
  for (const file of files.filter((file) => /\.tsx?$/.test(file))) {
    await cp(`${page}/${file}`, `${out}/${file}.txt`);
  }
}
