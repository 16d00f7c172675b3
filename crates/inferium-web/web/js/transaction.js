// The transactions that the wallet makes: their bytes, and the same in words.

import { bytes, struct, u64, u8 } from "./borsh.js";
import { concat, fromHex, toHex, utf8, varint } from "./bytes.js";
import { money } from "./receipt-view.js";

const DOMAIN = "inferium/transaction/1";
/** Places among the kinds of transactions of `inferium-types`. */
const TAGS = { transfer: 0, bond: 19, unbond: 20, vote: 25 };
const CHOICES = ["yes", "no", "abstain", "veto"];

/**
 * @typedef {{ kind: "transfer", to: Uint8Array, amount: bigint }
 *   | { kind: "bond" | "unbond", node: Uint8Array, amount: bigint }
 *   | { kind: "vote", proposal: bigint, choice: string }} Body
 * @typedef {{ chain: Uint8Array, sender: Uint8Array, nonce: bigint, body: Body }} Transaction
 */

/** Bytes of a body. @param {Body} body */
export function encodeBody(body) {
  const tag = Uint8Array.of(TAGS[body.kind]);
  switch (body.kind) {
    case "transfer":
      return concat(tag, body.to, u64.write(body.amount));
    case "bond":
    case "unbond":
      return concat(tag, body.node, u64.write(body.amount));
    case "vote": {
      const choice = CHOICES.indexOf(body.choice);
      if (choice < 0) throw new Error(`there is no choice ${body.choice}`);
      return concat(tag, u64.write(body.proposal), u8.write(choice));
    }
  }
}

const Head = struct({ chain: bytes(32), sender: bytes(32), nonce: u64 });

/** Bytes of a transaction, which its name is made of. @param {Transaction} transaction */
export const encodeTransaction = (transaction) => concat(Head.write(transaction), encodeBody(transaction.body));

/** What the key signs: no signature is valid in another domain. @param {Transaction} transaction */
export function signedBytes(transaction) {
  const domain = utf8(DOMAIN);
  return concat(varint(domain.length), domain, encodeTransaction(transaction));
}

/** Money in IFR as nano-IFR; throws on what can't be held exactly. @param {string} text */
export function parseAmount(text) {
  const found = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (!found) throw new Error("An amount is digits with at most nine decimals, such as 1.5.");
  const nano = BigInt(found[1] ?? "0") * 1_000_000_000n + BigInt((found[2] ?? "").padEnd(9, "0"));
  if (nano >= 1n << 64n) throw new Error("The amount is too large.");
  return nano;
}

/** 32 bytes of an address. @param {string} text @param {string} what */
export function parseAddress(text, what) {
  const found = fromHex(text.trim().toLowerCase());
  if (found?.length !== 32) throw new Error(`${what} is 64 hex digits.`);
  return found;
}

/**
 * What a transaction does, in words, from the values whose bytes are signed.
 * @param {Transaction} transaction
 * @param {bigint} fee
 * @returns {{ title: string, fields: [string, string][] }}
 */
export function describe({ chain, sender, nonce, body }, fee) {
  /** @type {[string, string][]} */
  const fields = [];
  let title = "";
  switch (body.kind) {
    case "transfer":
      title = `Send ${money(body.amount)}`;
      fields.push(["to", toHex(body.to)], ["amount", money(body.amount)]);
      break;
    case "bond":
      title = `Lock ${money(body.amount)} as stake`;
      fields.push(["node", toHex(body.node)], ["amount", money(body.amount)], ["note", "comes back after the unbonding time; a slash of the node takes its part"]);
      break;
    case "unbond":
      title = `Take ${money(body.amount)} of stake back`;
      fields.push(["node", toHex(body.node)], ["amount", money(body.amount)], ["note", "paid after the unbonding time; slashable until then"]);
      break;
    case "vote":
      title = `Vote ${body.choice} with all own stake`;
      fields.push(["proposal", String(body.proposal)]);
      break;
  }
  fields.push(["from", toHex(sender)], ["fee", money(fee)], ["nonce", String(nonce)], ["chain", toHex(chain)]);
  return { title, fields };
}

