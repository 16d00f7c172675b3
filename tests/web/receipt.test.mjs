// The check in the browser is the command line's: the same receipts hold, the same are refused.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import test, { after, before } from "node:test";
import { parseNetworkKey, verifyReceipt } from "../../crates/inferium-web/web/js/receipt.js";
import { BINARY, askForReceipt, startNetwork } from "./network.mjs";

let network, file, key;
before(async () => {
  network = await startNetwork("--engine", "mock");
  file = readFileSync((await askForReceipt(network)).path, "utf8");
  key = parseNetworkKey(network.network_key);
});
after(() => network?.stop());

/** What `inferium receipt verify` says. */
function holds(text, networkKey = network.network_key) {
  const { status } = spawnSync(BINARY, ["receipt", "verify", "-", "--network-key", networkKey], { input: text });
  return status === 0;
}

/** Every place where a byte of the proof, or a field of the document, can be changed: at least 200, spread. */
function mutations() {
  const document = JSON.parse(file);
  const size = document.proof.length / 2;
  const out = [];
  for (let n = 0; n < 180; n += 1) {
    const at = Math.floor((n * size) / 180);
    const bit = 1 << (n % 8);
    const byte = (Number.parseInt(document.proof.slice(2 * at, 2 * at + 2), 16) ^ bit).toString(16).padStart(2, "0");
    const proof = document.proof.slice(0, 2 * at) + byte + document.proof.slice(2 * at + 2);
    out.push([`bit ${n % 8} of byte ${at}`, file.replace(document.proof, proof)]);
  }
  const changed = (value) => (typeof value === "number" ? value + 1 : typeof value === "string" ? `${value.slice(0, -1)}${value.endsWith("0") ? "1" : "0"}` : Array.isArray(value) ? value.slice(1) : { ...value, extra: 1 });
  for (const [name, value] of Object.entries(document)) {
    out.push([`field ${name} changed`, JSON.stringify({ ...document, [name]: changed(value) })]);
    const without = { ...document };
    delete without[name];
    out.push([`field ${name} missing`, JSON.stringify(without)]);
  }
  out.push(["a field added", JSON.stringify({ ...document, extra: null })], ["a whole number as a fraction", file.replace(`"height":${document.height}`, `"height":${document.height}.0`)]);
  out.push(["not JSON", "{"], ["a list", "[]"], ["cut proof", JSON.stringify({ ...document, proof: document.proof.slice(0, -2) })], ["longer proof", JSON.stringify({ ...document, proof: `${document.proof}00` })]);
  return out;
}

test("a real receipt holds, in both", () => {
  const verdict = verifyReceipt(file, key);
  assert.deepEqual(verdict.failed, null);
  assert.equal(verdict.checks.length, 6);
  assert.ok(holds(file));
});

test("two hundred changes and more are refused, in both", () => {
  const all = mutations();
  assert.ok(all.length >= 200, `${all.length}`);
  for (const [name, text] of all) {
    assert.notEqual(text, file, name);
    assert.equal(verifyReceipt(text, key).valid, false, name);
    assert.equal(holds(text), false, name);
  }
});

test("another network's key refuses it", () => {
  const other = network.network_key.replace(/:(.)/, (_, digit) => `:${digit === "0" ? "1" : "0"}`);
  assert.equal(verifyReceipt(file, parseNetworkKey(other)).valid, false);
  assert.equal(holds(file, other), false);
});
