// Agents in a real browser, against a real network: the catalogue, an agent's page, and a run of it to its final receipt.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import test, { after, before } from "node:test";
import { ROOT, startBrowser, startNetwork } from "./network.mjs";

const AXE = readFileSync(join(dirname(createRequire(import.meta.url).resolve("axe-core")), "axe.min.js"), "utf8");
const SHOTS = process.env.INFERIUM_SCREENSHOTS ?? join(ROOT, "target/screenshots");
mkdirSync(SHOTS, { recursive: true });

const LIMITS = "[limits]\nsteps = 3\ntokens = 20_000\ntool_calls = 4\nseconds = 60\n";
const HOSTILE = "# <img src=x onerror=alert(1)>\nIt reads files.\n\n- Markdown, text\n- `<script>alert(1)</script>`\n\n[click](javascript:alert(1))";
const MANIFESTS = {
  reader: `summary = "Answers questions from your documents, and names the files."\nreadme = """\nGive it text or Markdown files and a question. It searches them and answers from the passages that fit best.\n\n- \`documents\` is built into every host\n- nothing leaves the sandbox\n"""\n[tools.documents]\nbuiltin = "documents"\n[[prepare]]\ntool = "documents__search"\narguments = { query = "{task}", k = 2 }\n`,
  translator: 'summary = "Puts short texts into plain English."\n',
  hostile: `summary = "<b>Bold</b> & <script>alert(1)</script>"\nreadme = '''\n${HOSTILE}\n'''\nsecrets = ["TOKEN"]\n`,
};

let network, browser;
const ids = {};

function studio(...args) {
  return JSON.parse(network.run("studio", ...args, "--data", network.data, "--json"));
}

before(async () => {
  network = await startNetwork("--engine", "mock");
  browser = await startBrowser();
  for (const [name, more] of Object.entries(MANIFESTS)) {
    const file = join(network.data, `${name}.toml`);
    writeFileSync(file, `name = "${name}"\nmodel = "mock"\nprice = "0.01"\nsystem_prompt = "Be brief."\n${more.replace(/\[tools[\s\S]*$/, "")}${LIMITS}${/\[tools[\s\S]*$/.exec(more)?.[0] ?? ""}`);
    network.run("studio", "publish", file, "--as", "account", "--yes", "--data", network.data, "--json");
    ids[name] = studio("show", name).agent;
  }
});
after(async () => {
  await browser?.close();
  await network?.stop();
});

/** A page that notes everything it should not do. */
async function open(path, { width = 1280, scheme = "light", scripts = true } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion: "reduce", javaScriptEnabled: scripts });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => !request.url().startsWith(network.origin) && wrong.push(`asks ${request.url()}`));
  await page.goto(network.origin + path);
  return { page, wrong, close: () => context.close() };
}

async function audit(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: AXE });
  const { result } = await session.send("Runtime.evaluate", { expression: "axe.run().then((r) => JSON.stringify(r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).slice(0, 3).join(' | ')}`)))", awaitPromise: true });
  return JSON.parse(result.value);
}

/** In both themes and widths: no errors, nothing too wide, nothing that axe finds. */
async function looksRight(name, path) {
  for (const scheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      const { page, wrong, close } = await open(path, { width, scheme });
      await page.waitForLoadState("load");
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(overflow <= 0, `${name} at ${width} is ${overflow} px too wide`);
      await page.screenshot({ path: join(SHOTS, `${name}-${scheme}-${width}.png`), fullPage: true });
      assert.deepEqual(await audit(page), [], `${name} ${scheme} ${width}`);
      assert.deepEqual(wrong, [], name);
      await close();
    }
  }
}

test("the catalogue has every agent with its words, and finds by them without scripts", async () => {
  const { page, close } = await open("/studios", { scripts: false });
  const names = () => page.locator(".agent h2").allInnerTexts();
  // The gateway is asked for the words of agents when the page first misses them.
  for (const end = Date.now() + 30_000; (await page.locator(".agent .summary").allInnerTexts()).some((text) => /not at this gateway/.test(text)); await page.reload()) assert.ok(Date.now() < end);
  assert.deepEqual((await names()).sort(), ["hostile", "reader", "translator"]);
  await page.getByLabel("Search agents").fill("DOCUMENTS files");
  await page.getByRole("button", { name: "Search" }).click();
  assert.equal(new URL(page.url()).search, "?q=DOCUMENTS+files");
  assert.deepEqual(await names(), ["reader"]);
  await page.getByRole("link", { name: "Newest", exact: true }).click();
  assert.deepEqual(await names(), ["reader"]);
  await page.getByRole("link", { name: "show all" }).click();
  assert.deepEqual(await names(), ["hostile", "translator", "reader"]);
  await page.getByLabel("Search agents").fill("no such thing");
  await page.keyboard.press("Enter");
  assert.match(await page.locator(".empty").innerText(), /No agent is like/);
  await page.goto(`${network.origin}/studios`);
  await page.getByRole("link", { name: "translator" }).click();
  assert.equal(new URL(page.url()).pathname, `/studios/${ids.translator}`);
  await close();
});

test("an agent is run from its page, each call is shown, and its receipt is checked there", async () => {
  const { page, wrong, close } = await open(`/studios/${ids.reader}#key=${network.api_key}`);
  await page.getByLabel("What it is to do").fill("How long is a lease?");
  await page.locator("#files").setInputFiles([{ name: "leases.md", mimeType: "text/markdown", buffer: Buffer.from("A lease is ten minutes long, možná.\n") }]);
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator("#answer-box").waitFor({ timeout: 60_000 });
  assert.ok((await page.locator("#answer").innerText()).trim().length > 0);
  const calls = page.locator("#calls li");
  assert.deepEqual(await calls.locator("b").allInnerTexts(), ["documents__search", "Model"]);
  await calls.first().locator("summary").click();
  assert.match(await calls.first().locator("pre").innerText(), /leases\.md[\s\S]*možná/);
  await page.locator('#proof [data-verified="true"]').waitFor({ timeout: 90_000 });
  assert.match(await page.locator("#proof").innerText(), /0\.01 IFR for the run/);
  await page.screenshot({ path: join(SHOTS, "agent-ran-light-1280.png"), fullPage: true });
  assert.deepEqual(await audit(page), []);
  await page.setViewportSize({ width: 390, height: 900 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(SHOTS, "agent-ran-dark-390.png"), fullPage: true });
  await page.getByLabel("4", { exact: true }).check();
  await page.getByLabel("What others should know").fill("Finds the line. <i>Short</i>");
  await page.getByRole("button", { name: "Publish the review" }).click();
  await page.getByText("Published: it stands on this page").waitFor();
  assert.deepEqual(await audit(page), []);
  const reviewed = await open(`/studios/${ids.reader}`);
  for (const end = Date.now() + 60_000; !(await reviewed.page.locator("#reviews li").count()); await reviewed.page.reload()) assert.ok(Date.now() < end, "no review");
  assert.match(await reviewed.page.locator("#reviews").innerText(), /4\.00 of 5, 1 review[\s\S]*Finds the line\. <i>Short<\/i>/);
  assert.equal(await reviewed.page.locator("#reviews .stars").first().getAttribute("aria-label"), "4 of 5");
  await reviewed.page.screenshot({ path: join(SHOTS, "agent-reviewed-light-1280.png"), fullPage: true });
  assert.deepEqual(await audit(reviewed.page), []);
  assert.deepEqual(reviewed.wrong, []);
  await reviewed.close();
  await page.locator("#proof a", { hasText: "receipt" }).click();
  await page.locator('[data-valid="true"]').waitFor({ timeout: 30_000 });
  assert.deepEqual(wrong, []);
  await close();
});

test("what an agent earned is told to the nano-IFR, as the command line tells it", async () => {
  const address = `${network.origin}/studios/${ids.reader}.json`;
  const told = async () => (await fetch(address)).json();
  for (const end = Date.now() + 90_000; (await told()).paid_runs.length === 0; ) assert.ok(Date.now() < end, "no run was paid");
  // A block between the two may end the run's lease: both are read again until they are of one state.
  let [page, shown] = [await told(), studio("show", "reader")];
  for (const end = Date.now() + 60_000; page.open_runs !== shown.open_runs && Date.now() < end; ) [page, shown] = [await told(), studio("show", "reader")];
  for (const [name, value] of Object.entries(shown)) assert.deepEqual(page[name], value, name);
  const [paid] = page.paid_runs;
  assert.deepEqual([paid.fee_nano, paid.to_host_nano, paid.to_creator_nano, paid.to_committee_nano + paid.to_treasury_nano], [10_000_000, 6_000_000, 2_500_000, 1_500_000]);
  assert.deepEqual(page.split, { host_nano: 6_000_000, creator_nano: 2_500_000, committee_nano: 1_000_000, treasury_nano: 500_000 });
  assert.equal(shown.earned.creator_nano, 2_500_000);
  const { page: view, wrong, close } = await open(`/studios/${ids.reader}`);
  assert.equal(await view.locator(".figure", { hasText: "Its creator" }).locator("[data-nano]").getAttribute("data-nano"), "2500000");
  await view.locator("tr", { hasText: "0.006" }).locator("a.id").first().click();
  assert.equal(await view.getByRole("heading", { level: 1 }).innerText(), "Segment");
  const { data } = await (await fetch(`${network.origin}/studios.json`)).json();
  assert.deepEqual([data[0].name, data[0].runs, data[0].earned_nano], ["reader", 1, 2_500_000]);
  assert.deepEqual(wrong, []);
  await close();
});

test("what a stranger wrote is text, a missing secret is asked for, and a failed run says why", async () => {
  const { page, wrong, close } = await open(`/studios/${ids.hostile}#key=${network.api_key}`);
  assert.equal(await page.locator("main img, main script, .readme a").count(), 0);
  assert.match(await page.locator(".readme").innerText(), /<script>alert\(1\)<\/script>/);
  await page.getByLabel("What it is to do").fill("x");
  await page.getByLabel("TOKEN").fill("t");
  await page.getByLabel("API key").fill("sk-inferium-00");
  wrong.length = 0;
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator("#run-error", { hasText: /key/i }).waitFor();
  assert.deepEqual(wrong.filter((text) => !/401/.test(text)), []);
  await close();
});

test("pages of agents are clean in both themes and widths", async () => {
  await looksRight("studios-agents", "/studios");
  await looksRight("studios-none", "/studios?q=nothing");
  await looksRight("agent", `/studios/${ids.reader}`);
  await looksRight("agent-hostile", `/studios/${ids.hostile}`);
});

test("agents are found from the search box and from blocks, and unknown ones are not", async () => {
  const { page, wrong, close } = await open("/explorer");
  await page.keyboard.press("/");
  await page.keyboard.type("translator");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/studios/${ids.translator}`);
  const height = await page.getByRole("region", { name: "Versions" }).locator("a[href^='/explorer/blocks/']").getAttribute("href");
  await page.goto(network.origin + height);
  await page.locator(".story a", { hasText: "translator" }).click();
  await page.waitForURL(`**/studios/${ids.translator}`);
  assert.deepEqual(wrong, []);
  assert.equal((await fetch(`${network.origin}/studios/${"0".repeat(64)}`)).status, 404);
  network.run("studio", "retire", "translator", "--as", "account", "--yes", "--data", network.data, "--json");
  // No run of it is open, so it is closed at once. The command returns with the block; the pages' own client has it a moment later.
  for (const end = Date.now() + 30_000; !(await (await fetch(`${network.origin}/studios/${ids.translator}.json`)).json()).closed; ) assert.ok(Date.now() < end);
  await page.goto(`${network.origin}/studios/${ids.translator}`);
  assert.equal(await page.locator("#run").count(), 0);
  assert.match(await page.locator("main").innerText(), /It is closed/);
  await close();
});
