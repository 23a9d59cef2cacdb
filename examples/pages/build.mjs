// Bundles each page into dist/: index/ becomes /examples/, every other folder /examples/<its name>/.
//
// A page's sources stand beside it as text, so that its visitors can read them.

import { cp, readdir, rm } from "node:fs/promises";

import { build } from "esbuild";

const OUT = "dist/examples";
const PAGES = ["index", "chat", "multiplayer", "match", "presence", "notify"];

await rm("dist", { recursive: true, force: true });
for (const page of PAGES) {
  const out = page === "index" ? OUT : `${OUT}/${page}`;
  const files = await readdir(page);
  await build({
    entryPoints: files.filter((file) => /^(main\.tsx?|style\.css)$/.test(file)).map((file) => `${page}/${file}`),
    outdir: out,
    bundle: true,
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
