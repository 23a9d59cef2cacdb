/**
 * Bundles and minifies each entry, without React, into `.size/`, to measure its download size. Fails if the README
 * states another one. The limits are in package.json.
 */

import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const ENTRIES = {
  client: "export { EmitClient } from './dist/client.js'",
  dispatch: "export { Dispatch, DISPATCH_EVENT } from './dist/dispatch.js'",
  mesa: "export { Client, Message } from './dist/mesa.js'",
  react: "export * from './dist/react.js'",
  devtools: "import './dist/devtools.js'",
};

const readme = await readFile("README.md", "utf8");
await mkdir(".size", { recursive: true });
for (const [name, contents] of Object.entries(ENTRIES)) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: "." },
    bundle: true, minify: true, format: "esm", target: "es2022", external: ["react"], write: false,
  });
  const options = { module: true, ecma: 2022, compress: { passes: 4 } };
  const { code } = await minify(outputFiles[0].text, options);
  await writeFile(`.size/${name}.js`, code);
  checkReadme(name, `${(gzipSync(code).length / 1000).toFixed(1)} kB`);
}

function checkReadme(name, size) {
  const [, stated] = new RegExp(`^\\| \\[\`/${name}\`\\].*\\| ([^|]+) \\|$`, "m").exec(readme) ?? [];
  if (stated === size) return;
  console.error(`README.md states ${stated} for /${name}; it has ${size}`);
  process.exitCode = 1;
}
