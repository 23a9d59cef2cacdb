/**
 * Bundles and minifies each entry, without React, into `.size/`, to measure its download size.
 * The limits are in package.json.
 */

import { build } from "esbuild";
import { mkdir, writeFile } from "node:fs/promises";
import { minify } from "terser";

const ENTRIES = {
  client: "export { EmitClient } from './dist/client.js'",
  dispatch: "export { Dispatch, DISPATCH_EVENT } from './dist/dispatch.js'",
  mesa: "export { Client, Message } from './dist/mesa.js'",
  react: "export * from './dist/react.js'",
};

await mkdir(".size", { recursive: true });
for (const [name, contents] of Object.entries(ENTRIES)) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: "." },
    bundle: true, minify: true, format: "esm", target: "es2022", external: ["react"], write: false,
  });
  const options = { module: true, ecma: 2022, compress: { passes: 4 } };
  const { code } = await minify(outputFiles[0].text, options);
  await writeFile(`.size/${name}.js`, code);
}
