// Writes the packages of the console into console/vendor/, from the versions of the lock file; with --check it compares
// them instead. The console itself is plain JavaScript, so that the binary contains it without Node.

import { mkdir, readFile, writeFile } from "node:fs/promises";

import { build } from "esbuild";

const OUT = new URL("../console/vendor/", import.meta.url);

/** Preact, its hooks and htm in one module: a browser cannot resolve the names of packages. */
async function preact() {
  const contents = `
    import { h } from "preact";
    import htm from "htm";
    export { render } from "preact";
    export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
    export const html = htm.bind(h);`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return outputFiles[0].text;
}

const read = (path) => readFile(new URL(`node_modules/${path}`, import.meta.url), "utf8");

const files = {
  "preact.js": await preact(),
  "uplot.js": await read("uplot/dist/uPlot.iife.min.js"),
  "uplot.css": await read("uplot/dist/uPlot.min.css"),
};

/** The texts of their licences, for packages of the binary. */
for (const name of ["preact", "htm", "uplot"]) files[`../../vendor/licences/${name}/LICENSE`] = await read(`${name}/LICENSE`);

for (const [name, content] of Object.entries(files)) {
  const file = new URL(name, OUT);
  await mkdir(new URL(".", file), { recursive: true });
  if (!process.argv.includes("--check")) {
    await writeFile(file, content);
  } else if (await readFile(file, "utf8") !== content) {
    console.error(`${file.pathname} differs from the packages of the lock file; run: npm run write`);
    process.exitCode = 1;
  }
}
