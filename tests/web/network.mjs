// Starts and stops a real network of the built binary, and a browser, for tests of the pages.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const BINARY = process.env.INFERIUM_BINARY ?? join(ROOT, "target/release/inferium");

/** One `inferium up` in a folder of its own. */
export async function startNetwork(...options) {
  const data = mkdtempSync(join(tmpdir(), "inferium-pages-"));
  const network = spawn(BINARY, ["up", "--json", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", ...options], { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  network.stderr.on("data", (piece) => {
    log = (log + piece).slice(-4000);
  });
  const lines = createInterface({ input: network.stdout });
  const ended = new Promise((resolve) => network.once("exit", resolve).once("error", (error) => {
    log += error.message;
    resolve(null);
  }));
  const first = await Promise.race([new Promise((resolve) => lines.once("line", resolve)), ended.then(() => null)]);
  if (first === null) throw new Error(`\`inferium up\` ended before it was ready:\n${log}`);
  const ready = JSON.parse(first);
  const run = (...args) => execFileSync(BINARY, args, { encoding: "utf8" });
  const stop = async () => {
    network.kill("SIGINT");
    await ended;
    rmSync(data, { recursive: true });
  };
  return { ...ready, data, origin: ready.base_url.replace(/\/v1$/, ""), run, stop };
}

export const startBrowser = () => chromium.launch({ executablePath: process.env.INFERIUM_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** One finished answer's receipt, as the gateway sends it. */
export async function askForReceipt(network) {
  const headers = { authorization: `Bearer ${network.api_key}`, "content-type": "application/json" };
  const { data } = await (await fetch(`${network.base_url}/models`)).json();
  const body = JSON.stringify({ model: data[0].id, messages: [{ role: "user", content: "Why is the sky blue?" }], max_tokens: 16 });
  const answer = await (await fetch(`${network.base_url}/chat/completions`, { method: "POST", headers, body })).json();
  const { job } = answer.inferium;
  network.run("receipt", "get", job, "--url", network.base_url, "--out", join(network.data, "receipt.json"));
  return { job, path: join(network.data, "receipt.json") };
}
