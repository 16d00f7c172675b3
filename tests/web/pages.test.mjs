// Every page in a real browser against a real network: no error in the console, nothing from another origin, no
// violation of the policy, usable by keyboard, readable by axe, in both themes and widths. Screenshots are kept.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import test, { after, before } from "node:test";
import { ROOT, askForReceipt, startBrowser, startNetwork } from "./network.mjs";

const AXE = readFileSync(join(dirname(createRequire(import.meta.url).resolve("axe-core")), "axe.min.js"), "utf8");
const SHOTS = process.env.INFERIUM_SCREENSHOTS ?? join(ROOT, "target/screenshots");
mkdirSync(SHOTS, { recursive: true });

let network, browser, receipt;
before(async () => {
  network = await startNetwork(...(process.env.INFERIUM_PAGES_OPTIONS ?? "--engine mock").split(" "));
  browser = await startBrowser();
  receipt = await askForReceipt(network);
});
after(async () => {
  await browser?.close();
  await network?.stop();
});

/** A page that notes everything it should not do. */
async function open(path, { width = 1280, scheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => !request.url().startsWith(network.origin) && !request.url().startsWith("blob:") && wrong.push(`asks ${request.url()}`));
  await page.goto(network.origin + path);
  return { page, wrong, close: () => context.close() };
}

async function audit(page) {
  // By the debugger's way in, which the policy of the page does not concern.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: AXE });
  const { result } = await session.send("Runtime.evaluate", { expression: "axe.run().then((r) => JSON.stringify(r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).slice(0, 3).join(' | ')}`)))", awaitPromise: true });
  return JSON.parse(result.value);
}

const PAGES = {
  start: "/", studios: "/studios", playground: "/playground", explorer: "/explorer", blocks: "/explorer/blocks", block: "/explorer/blocks/2",
  transactions: "/explorer/transactions", segments: "/explorer/segments", tasks: "/explorer/tasks", slashes: "/explorer/slashes",
  leaderboard: "/leaderboard", boards: "/boards", training: "/training", proofs: "/proofs", governance: "/governance", wallet: "/wallet",
};

for (const [name, path] of Object.entries(PAGES)) {
  test(`${name} is clean in both themes and widths`, async () => {
    for (const scheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const { page, wrong, close } = await open(path, { width, scheme });
        await page.waitForLoadState("load");
        assert.ok((await page.title()).endsWith("Inferium"));
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(overflow <= 0, `${name} at ${width} is ${overflow} px too wide`);
        await page.screenshot({ path: join(SHOTS, `${name}-${scheme}-${width}.png`), fullPage: true });
        assert.deepEqual(await audit(page), [], `${name} ${scheme} ${width}`);
        assert.deepEqual(wrong, [], name);
        await close();
      }
    }
  });
}

test("the first page asks, watches the checks, verifies, and a broken byte fails", async () => {
  const { page, wrong, close } = await open(`/#key=${network.api_key}`);
  assert.equal(new URL(page.url()).hash, "", "the key leaves the address");
  await page.getByRole("button", { name: "Ask the network" }).click();
  await page.locator('[data-step="verified"].held').waitFor({ timeout: 60_000 });
  for (const step of ["answer", "signed", "committed", "checked", "final"]) assert.equal(await page.locator(`[data-step="${step}"]`).getAttribute("class"), "held", step);
  await page.locator('#verdict [data-valid="true"]').waitFor();
  await page.screenshot({ path: join(SHOTS, "start-verified-light-1280.png"), fullPage: true });
  await page.locator("#bytes button").nth(40).click();
  await page.locator('#verdict [data-valid="false"]').waitFor();
  await page.screenshot({ path: join(SHOTS, "start-broken-light-1280.png"), fullPage: true });
  await page.getByRole("button", { name: "Put the byte back" }).click();
  await page.locator('#verdict [data-valid="true"]').waitFor();
  assert.deepEqual(wrong, []);
  await close();
});

test("the playground streams, verifies each answer here, stops, and shows code", async () => {
  const { page, wrong, close } = await open(`/playground#key=${network.api_key}`, { scheme: "dark" });
  await page.locator("#model option").first().waitFor({ state: "attached" });
  await page.getByLabel("Message").fill("Why is the sky blue?");
  await page.keyboard.press("Enter");
  await page.locator('[data-verified="true"]').waitFor({ timeout: 60_000 });
  await page.screenshot({ path: join(SHOTS, "playground-verified-dark-1280.png"), fullPage: true });
  await page.getByRole("button", { name: "View code" }).click();
  await page.getByRole("tab", { name: "Python" }).click();
  assert.match(await page.locator("#code-text").innerText(), /client\.chat\.completions\.create/);
  await page.keyboard.press("Escape");
  assert.deepEqual(wrong, []);
  await close();
});

test("a receipt's page verifies it, and the search box finds what there is", async () => {
  const { page, wrong, close } = await open(`/explorer/receipts/${receipt.job}`);
  await page.locator('[data-valid="true"]').waitFor({ timeout: 30_000 });
  await page.screenshot({ path: join(SHOTS, "receipt-light-1280.png"), fullPage: true });
  await page.keyboard.press("/");
  await page.keyboard.type("validator-0");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/explorer/nodes/*");
  assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), "validator-0");
  await page.screenshot({ path: join(SHOTS, "node-light-1280.png"), fullPage: true });
  assert.deepEqual(wrong, []);
  await close();
});

test("a worker is paused, works again, and is drained from its page, by who has the admin token", async () => {
  const { pages } = JSON.parse(network.run("key", "admin", "--data", network.data, "--json"));
  const [origin, token] = pages.split("/#admin=");
  const { nodes } = JSON.parse(readFileSync(join(network.data, "network.json"), "utf8"));
  const [, worker] = nodes.find(([name]) => name === "worker");
  const address = `/explorer/nodes/${worker}`;
  // On the public address there is nothing to press.
  const visitor = await open(address);
  assert.equal(await visitor.page.locator("#duty").count(), 0);
  assert.equal((await visitor.page.request.get(`${network.origin}/admin/v1/workers`)).status(), 404);
  await visitor.close();
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", reducedMotion: "reduce" });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && !/401/.test(message.text()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  await page.goto(origin + address);
  const state = page.locator("#duty-state");
  await page.getByLabel("Admin token").fill("wrong");
  await page.locator("#duty-error", { hasText: "admin token" }).waitFor();
  assert.ok(await page.getByRole("button", { name: "Pause" }).isDisabled());
  await page.getByLabel("Admin token").fill(token);
  await page.locator("#duty-state", { hasText: "working" }).waitFor();
  assert.deepEqual(await audit(page), []);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("#duty-state", { hasText: "paused" }).waitFor();
  await page.screenshot({ path: join(SHOTS, "node-paused-light-1280.png"), fullPage: true });
  // Its leases end: nobody serves the model any more, and then it is served again.
  const leases = async () => (await (await fetch(`${network.origin}/ready`)).json()).leases;
  const until = async (done) => {
    for (const end = Date.now() + 60_000; !done(await leases()); ) assert.ok(Date.now() < end, "the leases stay as they are");
  };
  await until((count) => count === 0);
  const listed = network.run("worker", "list", "--data", network.data, "--json");
  assert.equal(JSON.parse(listed).data[0].duty, "paused");
  await page.getByRole("button", { name: "Work again" }).click();
  await page.locator("#duty-state", { hasText: "working" }).waitFor();
  await until((count) => count > 0);
  await page.getByRole("button", { name: "Drain" }).click();
  await page.getByRole("button", { name: "Let it work" }).click();
  assert.equal(await state.innerText(), "working");
  await page.setViewportSize({ width: 390, height: 900 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(SHOTS, "node-operator-dark-390.png"), fullPage: true });
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a wallet is made here, shows what it signs, and its secret is sent to nobody", async () => {
  const { page, wrong, close } = await open("/wallet");
  const sent = [];
  page.on("request", (request) => sent.push(request.postData() ?? ""));
  await page.getByRole("tab", { name: "New wallet" }).click();
  await page.locator("#new-password").fill("a long enough password");
  await page.locator("#again-password").fill("a long enough password");
  const saved = page.waitForEvent("download", { timeout: 90_000 });
  await page.getByRole("button", { name: "Make a key" }).click();
  const path = join(network.data, "wallet.json");
  await (await saved).saveAs(path);
  const address = await page.locator("#address").innerText();
  network.run("wallet", "faucet", address, "--data", network.data);
  const { nodes } = JSON.parse(readFileSync(join(network.data, "network.json"), "utf8"));
  await page.locator("#to").fill(nodes[0][1]);
  await page.locator("#amount").fill("1.5");
  await page.getByRole("button", { name: "Review" }).click();
  await page.locator("#review-words", { hasText: "Send 1.5 IFR" }).waitFor();
  assert.match(await page.locator("#review-fields").innerText(), new RegExp(nodes[0][1]));
  await page.screenshot({ path: join(SHOTS, "wallet-review-light-1280.png") });
  await page.getByRole("button", { name: "Sign and send" }).click();
  await page.getByText("Final in").waitFor({ timeout: 60_000 });
  assert.ok(!sent.join("").includes("password"));
  assert.deepEqual(wrong, []);
  await close();
});

test("no page takes more than 150 KB, its scripts included", async () => {
  for (const [name, path] of [...Object.entries(PAGES), ["receipt", `/explorer/receipts/${receipt.job}`]]) {
    const { page, close } = await open("/wallet.json");
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    let size = 0;
    session.on("Network.loadingFinished", ({ encodedDataLength }) => {
      size += encodedDataLength;
    });
    await page.goto(network.origin + path);
    await page.waitForLoadState("load");
    if (name === "receipt") await page.locator('[data-valid="true"]').waitFor();
    assert.ok(size > 10_000 && size < 150_000, `${name} takes ${size} bytes`);
    await close();
  }
});
