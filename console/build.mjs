// Bundles the console into ../mq9fast/console, each file compressed. The name of each file but the page has a hash of
// its content, so that browsers may keep it for ever.
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const TARGET = new URL("../mq9fast/console/", import.meta.url);

const bundle = await build({
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: ["src/console.tsx", "src/console.css"],
  entryNames: "[name]-[hash]",
  outdir: "out",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  write: false,
});
const icon = await readFile(new URL("src/icon.svg", import.meta.url));
const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`;
const files = new Map(bundle.outputFiles.map((file) => [file.path.split("/").at(-1), file.contents]));
files.set(iconName, icon);

let page = await readFile(new URL("src/index.html", import.meta.url), "utf8");
for (const name of files.keys()) page = page.replace(name.replace(/-[^-]*\./, "."), name);
files.set("index.html", Buffer.from(page));

await rm(TARGET, { recursive: true, force: true });
await mkdir(TARGET);
let total = 0;
for (const [name, content] of files) {
  const compressed = gzipSync(content, { level: 9 });
  total += compressed.length;
  await writeFile(new URL(`${name}.gz`, TARGET), compressed);
}
console.log(`the console: ${files.size} files, ${(total / 1024).toFixed(1)} KiB compressed`);
