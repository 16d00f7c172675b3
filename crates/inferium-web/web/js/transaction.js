// The transactions that the wallet makes: their bytes, and the same in words.

import { bytes, string, struct, u32, u64, u8 } from "./borsh.js";
import { concat, fromHex, toHex, utf8, varint } from "./bytes.js";
import { money } from "./receipt-view.js";

const DOMAIN = "inferium/transaction/1";
/** Places among the kinds of transactions of `inferium-types`. */
const TAGS = { transfer: 0, bond: 19, unbond: 20, propose: 24, vote: 25 };
/** Places among the kinds of proposals. */
const ACTIONS = { parameters: 0, spend: 1, text: 7 };
const CHOICES = ["yes", "no", "abstain", "veto"];

/**
 * @typedef {{ name: "parameters", changes: { name: string, value: bigint }[] } | { name: "spend", to: Uint8Array, amount: bigint } | { name: "text" }} Action
 * @typedef {{ kind: "transfer", to: Uint8Array, amount: bigint }
 *   | { kind: "bond" | "unbond", node: Uint8Array, amount: bigint }
 *   | { kind: "vote", proposal: bigint, choice: string }
 *   | { kind: "propose", title: string, description: string, action: Action }} Body
 * @typedef {{ chain: Uint8Array, sender: Uint8Array, nonce: bigint, body: Body }} Transaction
 */

/** Bytes of what a proposal does. @param {Action} action */
function encodeAction(action) {
  const tag = Uint8Array.of(ACTIONS[action.name]);
  switch (action.name) {
    case "parameters":
      return concat(tag, u32.write(action.changes.length), ...action.changes.map(({ name, value }) => concat(string.write(name), u64.write(value))));
    case "spend":
      return concat(tag, action.to, u64.write(action.amount));
    case "text":
      return tag;
  }
}

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
    case "propose":
      return concat(tag, string.write(body.title), string.write(body.description), encodeAction(body.action));
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

/** 32 bytes of a name. @param {string} text @param {string} what */
export function parseName(text, what) {
  const found = fromHex(text.trim().toLowerCase());
  if (found?.length !== 32) throw new Error(`${what} is 64 hex digits.`);
  return found;
}

const FIELD = (1n << 255n) - 19n;
/** The curve's constant, -121665/121666. */
const CURVE = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

/** @param {bigint} base @param {bigint} exponent */
function power(base, exponent) {
  let [out, square] = [1n, base % FIELD];
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) out = (out * square) % FIELD;
    square = (square * square) % FIELD;
  }
  return out;
}

/**
 * True if 32 bytes are a point of edwards25519, as every public key is; of mistyped ones half are none. There is one when
 * x² = (y² - 1) / (dy² + 1) has a root, which is when the product of both sides of the fraction has.
 * @param {Uint8Array} bytes
 */
export function isPublicKey(bytes) {
  const y = BigInt(`0x${toHex(Uint8Array.from(bytes).reverse())}`) & ((1n << 255n) - 1n);
  const square = (y * y) % FIELD;
  const product = ((square - 1n + FIELD) * (CURVE * square + 1n)) % FIELD;
  return product === 0n || power(product, (FIELD - 1n) / 2n) === 1n;
}

/** 32 bytes of an address that some key may have. @param {string} text @param {string} what */
export function parseAddress(text, what) {
  const found = parseName(text, what);
  if (!isPublicKey(found)) throw new Error(`${what} is one that no key has; is it mistyped?`);
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
    case "propose":
      title = `Propose ${{ parameters: "new parameters", spend: "a payment from the treasury", text: "a text" }[body.action.name]}, and lock the deposit of a proposal`;
      fields.push(["title", body.title], ["reason", body.description]);
      if (body.action.name === "parameters") fields.push(["changes", body.action.changes.map(({ name, value }) => `${name} = ${value}`).join(", ")]);
      if (body.action.name === "spend") fields.push(["pays to", toHex(body.action.to)], ["amount", money(body.action.amount)]);
      break;
  }
  fields.push(["from", toHex(sender)], ["fee", money(fee)], ["nonce", String(nonce)], ["chain", toHex(chain)]);
  return { title, fields };
}

