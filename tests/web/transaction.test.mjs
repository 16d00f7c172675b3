// What the wallet's page signs is byte for byte what the types encode: both sides are held to one file of vectors.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { concat, toHex } from "../../crates/inferium-web/web/js/bytes.js";
import { encodeTransaction, isPublicKey, signedBytes } from "../../crates/inferium-web/web/js/transaction.js";
import { ROOT } from "./network.mjs";

const fill = (byte) => new Uint8Array(32).fill(byte);
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const key = createPrivateKey({ key: Buffer.concat([PKCS8, fill(0x33)]), format: "der", type: "pkcs8" });
const sender = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));

const [to, node, amount, most] = [fill(0x11), fill(0x22), 1_500_000_007n, (1n << 64n) - 1n];
const propose = (action) => ({ kind: "propose", title: "Gedůld, 一", description: 'Line\nand "line"', action });
const BODIES = {
  transfer: { kind: "transfer", to, amount },
  bond: { kind: "bond", node, amount },
  unbond: { kind: "unbond", node, amount },
  vote_yes: { kind: "vote", proposal: 3n, choice: "yes" },
  vote_no: { kind: "vote", proposal: 3n, choice: "no" },
  vote_abstain: { kind: "vote", proposal: most, choice: "abstain" },
  vote_veto: { kind: "vote", proposal: 0n, choice: "veto" },
  propose_parameters: propose({ name: "parameters", changes: [{ name: "starving_ms", value: 5000n }, { name: "fee_base", value: most }] }),
  propose_spend: propose({ name: "spend", to, amount }),
  propose_text: propose({ name: "text" }),
};

test("every transaction that a page signs has the bytes of the vectors", () => {
  const file = readFileSync(join(ROOT, "crates/inferium-types/vectors/transactions.toml"), "utf8");
  const vectors = new Map(file.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.replaceAll('"', "").split(" = ")));
  assert.deepEqual([...vectors.keys()], Object.keys(BODIES));
  let nonce = 0n;
  for (const [name, body] of Object.entries(BODIES)) {
    const transaction = { chain: fill(0x44), sender, nonce, body };
    const signed = concat(encodeTransaction(transaction), sign(null, signedBytes(transaction), key));
    assert.equal(toHex(signed), vectors.get(name), name);
    nonce += 1n;
  }
});

test("a mistyped address is told from a key's, half of the time", () => {
  let refused = 0;
  for (let number = 0; number < 64; number += 1) {
    const { publicKey } = generateKeyPairSync("ed25519");
    const bytes = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
    assert.ok(isPublicKey(bytes));
    const mistyped = Uint8Array.from(bytes);
    mistyped[number % 31] ^= 1;
    refused += isPublicKey(mistyped) ? 0 : 1;
  }
  assert.ok(refused > 12 && refused < 52, `${refused}`);
  // The identity, the base point, and two that are none.
  for (const [text, is] of [["01", true], ["58" + "66".repeat(31), true], ["02", false], ["ab".repeat(32), false]]) {
    assert.equal(isPublicKey(new Uint8Array(Buffer.from(text.padEnd(64, "0"), "hex"))), is, text);
  }
});
