// Drives Chromium for tests/support/browser.py. Each line of input is a call: a JavaScript function body that gets the
// page, its values, axe and what the page complained about. Each line of output is its result or its error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const { executable, timeout } = JSON.parse(process.argv[2]);
const FLAGS = ["--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--disable-component-update", "--no-proxy-server"];
const AsyncFunction = (async () => {}).constructor;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: executable, chromiumSandbox: false, args: FLAGS });
const pages = new Map();

// A page with storage of its own. `options` are those of Playwright's contexts.
const open = async (id, { url, ...options }) => {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(timeout);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  pages.set(id, { page, complaints });
  await page.goto(url);
};

const carryOut = async ({ id, open: options, code, values }) => {
  if (options) return open(id, options);
  const { page, complaints } = pages.get(id);
  return new AsyncFunction("page", "values", "axe", "complaints", code)(page, values, axe, complaints);
};

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  const reply = await carryOut(call).then(
    (result) => ({ result: result ?? null }),
    (error) => ({ error: String(error.stack ?? error) }),
  );
  console.log(JSON.stringify(reply));
}
await browser.close();
