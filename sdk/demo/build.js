// Builds the demo page into the server's sources: the page's own script, and the SDK beside it as a module of its own,
// which other pages may import from a server as well. Both stay readable. With --check it only compares: the
// committed build must be what these sources give.

import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** Of markup, looks and script. */
const PAGE_BYTES_MAX = 40 * 1024;
const SDK_BYTES_MAX = 48 * 1024;
const here = new URL(".", import.meta.url);
const target = new URL("../../server/src/http/demo/", here);

/** The page imports the SDK from the file beside it. */
const sdkBeside = {
  name: "sdk-beside",
  setup: ({ onResolve }) => onResolve({ filter: /typescript\/src\/index\.js$/ }, () => ({ path: "./parlor.js", external: true })),
};

const page = {
  "index.html": await readFile(new URL("src/index.html", here)),
  "demo.css": await readFile(new URL("src/demo.css", here)),
  "demo.js": await script("src/main.ts", "sdk/demo"),
};
const sdk = { "parlor.js": await script("../typescript/src/index.ts", "sdk/typescript") };

weigh("The page", page, PAGE_BYTES_MAX);
weigh("The SDK", sdk, SDK_BYTES_MAX);
const act = process.argv.includes("--check") ? check : write;
await act({ ...page, ...sdk });

async function script(entry, home) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, here))],
    absWorkingDir: fileURLToPath(new URL("..", here)),
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    plugins: home === "sdk/demo" ? [sdkBeside] : [],
  });
  const banner = `// Built from ${home} by "npm run build" in sdk/demo. Do not edit.\n\n`;
  return Buffer.from(banner + withoutNoise(outputFiles[0].text));
}

/** Indentation in one byte per level (no string or template of these sources spans lines), and no notes to bundlers. */
function withoutNoise(text) {
  const tabs = text.replace(/^ +/gm, (spaces) => "\t".repeat(spaces.length / 2) + (spaces.length % 2 ? " " : ""));
  return tabs.replaceAll("/* @__PURE__ */ ", "");
}

function weigh(what, files, bytesMax) {
  const bytes = Object.values(files).reduce((sum, file) => sum + file.length, 0);
  console.log(`${what} has ${bytes} of at most ${bytesMax} bytes.`);
  if (bytes > bytesMax) fail(`${what} is too large`);
}

async function check(files) {
  for (const [name, built] of Object.entries(files)) {
    const committed = await readFile(new URL(name, target)).catch(() => Buffer.alloc(0));
    if (!built.equals(committed)) fail(`server/src/http/demo/${name} is not what sdk/demo builds: run "npm run build" in sdk/demo`);
  }
}

async function write(files) {
  await mkdir(target, { recursive: true });
  for (const [name, built] of Object.entries(files)) await writeFile(new URL(name, target), built);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
