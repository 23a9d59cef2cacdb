/**
 * Prints what each source file adds to the gzipped size of an entry: the entry's size minus its size without the file's code.
 * The files share words, so the sum is less than the whole.
 */

import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const ENTRIES = {
  client: "export { EmitClient } from './src/client/index.ts'",
  dispatch: "export { Dispatch, DISPATCH_EVENT } from './src/dispatch/index.ts'",
  mesa: "export { Client, Message } from './src/mesa/index.ts'",
};

for (const [name, contents] of Object.entries(ENTRIES)) {
  const whole = await bundle(contents);
  console.log(`/${name}: ${whole.bytes} bytes`);
  const parts = await Promise.all(whole.files.map(async (file) => ({ file, bytes: whole.bytes - (await bundle(contents, file)).bytes })));
  parts.sort((a, b) => b.bytes - a.bytes);
  for (const { file, bytes } of parts) if (bytes > 50) console.log(`  ${String(bytes).padStart(5)}  ${file}`);
}

/** Bundles and minifies an entry, `without` the code of one file. Returns its gzipped size and its files. */
async function bundle(contents, without) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: "." },
    bundle: true, minify: true, format: "esm", target: "es2022", write: false, metafile: true, plugins: [emptied(without)],
  });
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 4 } });
  const files = Object.keys(metafile.inputs).filter((file) => file.startsWith("src/") && !file.endsWith("/index.ts"));
  return { bytes: gzipSync(code).length, files };
}

/** Replaces what a file exports by empty classes and global variables of the same names. */
function emptied(without) {
  return {
    name: "emptied",
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (relative(".", path) !== without) return undefined;
        const names = readFileSync(path, "utf8").matchAll(/^export (?:async |abstract )*(class|const|function) (\w+)/gm);
        const stubs = [...names].map(([, kind, name]) => (kind === "class" ? `export class ${name} {}` : `export const ${name} = globalThis.${name};`));
        return { contents: `${stubs.join("\n")}\nexport {};`, loader: "ts" };
      });
    },
  };
}
