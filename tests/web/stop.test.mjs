// Stop on the playground's page stops the work behind it: on the real model, whose answers take a while.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { startBrowser, startNetwork } from "./network.mjs";

let network, browser;
before(async () => {
  network = await startNetwork();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await network?.stop();
});

async function metric(name) {
  const text = await (await fetch(`${network.admin_url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)[1]);
}

/** Milliseconds until no job runs any more. */
async function idle() {
  const began = performance.now();
  while (await metric("inferium_jobs_running")) assert.ok(performance.now() - began < 20_000, "the job never ended");
  return performance.now() - began;
}

for (const [name, stop] of [["the button", (page) => page.getByRole("button", { name: "Stop" }).click()], ["Escape", (page) => page.keyboard.press("Escape")], ["closing the page", (page) => page.close()]]) {
  test(`${name} ends the job within a second`, async () => {
    const page = await browser.newPage();
    await page.goto(`${network.origin}/playground#key=${network.api_key}`);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await page.locator("#max_tokens").fill("1500");
    await page.getByLabel("Message").fill("Tell a very long story of the sea, in twenty chapters.");
    const before = await metric("inferium_completion_tokens_total");
    await page.keyboard.press("Enter");
    await page.locator(".turn.model .text", { hasText: /\w+ \w+/ }).waitFor({ timeout: 60_000 });
    assert.equal(await metric("inferium_jobs_running"), 1);
    await stop(page);
    const took = await idle();
    assert.ok(took < 1_000, `${took} ms`);
    const made = (await metric("inferium_completion_tokens_total")) - before;
    assert.ok(made > 0 && made < 600, `${made} tokens`);
    if (!page.isClosed()) {
      assert.ok(await page.getByRole("button", { name: "Send" }).isEnabled());
      // What was made until then is judged and paid like any other answer.
      await page.locator('[data-verified="true"]').waitFor({ timeout: 60_000 });
      assert.match(await page.locator(".turn.model .proof").innerText(), /stopped/);
      await page.close();
    }
  });
}
