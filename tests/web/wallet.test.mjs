// The wallet's page with a key that the command line made: stakes, takes back, proposes and votes, and the network does it.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { startBrowser, startNetwork } from "./network.mjs";

const PASSWORD = "a long enough password";
let network, browser, page, folder, address, wrong, foreign, sent;

/** What a command prints as JSON. */
const told = (...args) => JSON.parse(network.run(...args, "--data", network.data, "--json"));
const node = (name) => JSON.parse(readFileSync(join(network.data, "network.json"), "utf8")).nodes.find(([of]) => of === name)[1];

before(async () => {
  network = await startNetwork("--engine", "mock");
  browser = await startBrowser();
  folder = mkdtempSync(join(tmpdir(), "inferium-wallet-"));
  writeFileSync(join(folder, "password"), PASSWORD);
  const keystore = join(folder, "wallet.json");
  ({ address } = JSON.parse(network.run("wallet", "new", "--keystore", keystore, "--password-file", join(folder, "password"), "--json")));
  network.run("wallet", "faucet", address, "5000", "--data", network.data);
  page = await (await browser.newContext({ reducedMotion: "reduce" })).newPage();
  [wrong, foreign, sent] = [[], [], []];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(network.origin) && !request.url().startsWith("blob:")) foreign.push(request.url());
    if (request.url().endsWith("/api/v1/transactions")) sent.push(request.postDataBuffer());
  });
  await page.goto(`${network.origin}/wallet`);
  await page.locator("#keystore-file").setInputFiles(keystore);
  await page.locator("#open-password").fill(PASSWORD);
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.locator("#opened").waitFor({ timeout: 90_000 });
});
after(async () => {
  await browser?.close();
  await network?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Fills the form, reads the words, signs; the transaction's name once it is final. */
async function sign(kind, fields, words) {
  await page.locator("#kind").selectOption(kind);
  for (const [id, value] of Object.entries(fields)) {
    const field = page.locator(`#${id}`);
    if (await field.evaluate((element) => element.tagName === "SELECT")) await field.selectOption(value);
    else await field.fill(value);
  }
  await page.getByRole("button", { name: "Review" }).click();
  await page.locator("#review-words", { hasText: words }).waitFor();
  const shown = await page.locator("#review-fields").innerText();
  const bytes = await page.locator("#review-bytes").textContent();
  await page.getByRole("button", { name: "Sign and send" }).click();
  await page.locator("#wallet-done", { hasText: "Final in" }).waitFor({ timeout: 60_000 });
  const posted = sent.at(-1).toString("hex");
  // Behind the domain, what was shown is what was sent, and the signature after it.
  assert.ok(bytes.endsWith(posted.slice(0, -128)));
  return shown;
}

test("a keystore of the command line opens here, and the account is the same", async () => {
  assert.equal(await page.locator("#address").innerText(), address);
  await page.locator("#balance", { hasText: /^5000 IFR$/ }).waitFor();
  assert.equal(await page.locator("#nonce").innerText(), "0");
});

test("a transfer that is signed here moves the money", async () => {
  const [, to] = JSON.parse(readFileSync(join(network.data, "network.json"), "utf8")).nodes.at(-1);
  const before = told("wallet", "balance", to).balance_nano;
  await page.locator("#to").fill("ab".repeat(32));
  await page.locator("#amount").fill("1");
  await page.getByRole("button", { name: "Review" }).click();
  await page.locator("#wallet-error", { hasText: "no key has" }).waitFor();
  const shown = await sign("transfer", { to, amount: "1.000000001" }, "Send 1.000000001 IFR");
  assert.ok(shown.includes(to) && shown.includes(address));
  assert.equal(told("wallet", "balance", to).balance_nano - before, 1_000_000_001);
  assert.equal(told("wallet", "balance", address).transactions, 1);
});

test("stake is locked on a validator, and taken back", async () => {
  const validator = node("validator-0");
  const before = told("wallet", "balance", address).balance_nano;
  await sign("bond", { node: validator, amount: "100" }, "Lock 100 IFR as stake");
  const locked = before - told("wallet", "balance", address).balance_nano;
  assert.ok(locked > 100e9 && locked < 101e9, `${locked}`);
  await sign("unbond", { node: validator, amount: "40" }, "Take 40 IFR of stake back");
  const { transactions } = await (await fetch(`${network.origin}/explorer/accounts/${address}.json`)).json();
  const words = transactions.map((one) => one.words);
  assert.ok(words.includes("Lock 100 IFR as stake") && words.includes("Take 40 IFR of stake back"), `${words}`);
});

test("a proposal is made here, within bounds that are checked before anything is signed", async () => {
  await page.goto(`${network.origin}/governance`);
  await page.getByRole("link", { name: "Make a proposal" }).click();
  await page.waitForURL("**/wallet#propose");
  await page.locator("#open-password").fill(PASSWORD);
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.locator("#opened").waitFor({ timeout: 90_000 });
  assert.equal(await page.locator("#kind").inputValue(), "propose");
  await page.locator("#title").fill("Patience");
  const bad = { "starving_ms = 0": "is between", "made_up = 1": "There is no parameter made_up", "starving_ms": "is not a name, =" };
  for (const [changes, reason] of Object.entries(bad)) {
    await page.locator("#changes").fill(changes);
    await page.getByRole("button", { name: "Review" }).click();
    await page.locator("#wallet-error", { hasText: reason }).waitFor();
  }
  const shown = await sign("propose", { title: "Patience", why: "So that more\nis starved.", action: "parameters", changes: "starving_ms = 5000" }, "Propose new parameters");
  assert.match(shown, /starving_ms = 5000/);
  assert.match(shown, /deposit/);
  const [proposal] = told("gov", "list").data;
  assert.equal(proposal.title, "Patience");
  const detail = told("gov", "show", String(proposal.proposal));
  assert.ok(detail.diff.some((line) => line.includes("+ starving_ms = 5000")), JSON.stringify(detail));
});

test("a vote is cast from the proposal's page", async () => {
  const { proposal } = told("gov", "list").data[0];
  await page.goto(`${network.origin}/governance/${proposal}`);
  await page.getByRole("link", { name: "yes", exact: true }).click();
  await page.waitForURL(`**/wallet#vote=${proposal}&choice=yes`);
  await page.locator("#open-password").fill(PASSWORD);
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.locator("#opened").waitFor({ timeout: 90_000 });
  assert.deepEqual([await page.locator("#kind").inputValue(), await page.locator("#proposal").inputValue(), await page.locator("#choice").inputValue()], ["vote", String(proposal), "yes"]);
  await sign("vote", {}, "Vote yes with all own stake");
  const { transactions } = await (await fetch(`${network.origin}/explorer/accounts/${address}.json`)).json();
  assert.ok(transactions.some((one) => /vote yes/i.test(one.words)), JSON.stringify(transactions.map((one) => one.words)));
});

test("nothing was asked of anyone else, no error was shown, and no secret was sent", () => {
  assert.deepEqual([wrong, foreign], [[], []]);
  assert.ok(sent.length >= 5 && !Buffer.concat(sent).includes(Buffer.from(PASSWORD)));
});
