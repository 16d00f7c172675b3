// The wallet's page: opens or makes a key, shows a transaction in words, signs exactly that, and sends it.

import { concat, fromHex, toHex } from "./bytes.js";
import { createKeystore, openKeystore, parseKeystore } from "./keystore.js";
import { element, money } from "./receipt-view.js";
import { describe, encodeTransaction, parseAddress, parseAmount, parseName, signedBytes } from "./transaction.js";

/** @typedef {import("./keystore.js").Keystore} Keystore */
/** @typedef {import("./transaction.js").Body} Body */

const KEPT = "inferium-keystore";
/** Bytes of a signature, behind the transaction that it signs. */
const SIGNATURE_SIZE = 64;
/** Milliseconds without a transaction after which the key is forgotten. */
const LOCK_AFTER_MS = 10 * 60_000;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id));
/** @param {string} id */
const value = (id) => /** @type {HTMLInputElement} */ (part(id)).value.trim();

/** @type {{ key: import("./keystore.js").Key, keystore: Keystore } | null} */
let wallet = null;
/** @type {number | undefined} */
let locking;

/** @param {() => Promise<void>} work */
async function guarded(work) {
  part("wallet-error").textContent = "";
  part("wallet-done").textContent = "";
  try {
    await work();
  } catch (error) {
    part("wallet-error").textContent = error instanceof Error ? error.message : String(error);
  } finally {
    part("wallet-busy").textContent = "";
  }
}

/** @param {number} share */
const progress = (share) => {
  part("wallet-busy").textContent = `Deriving the key from your password: ${Math.round(share * 100)} %`;
};

const kept = () => localStorage.getItem(KEPT);

function lock() {
  wallet = null;
  part("opened").hidden = true;
  part("closed").hidden = false;
  part("kept-note").textContent = kept() ? `This browser keeps the keystore of ${JSON.parse(kept() ?? "{}").address?.slice(0, 16)}…; choose a file to open another one.` : "";
}

function stayOpen() {
  clearTimeout(locking);
  locking = setTimeout(lock, LOCK_AFTER_MS);
}

/** @param {Keystore} keystore @param {import("./keystore.js").Key} key */
async function open(keystore, key) {
  wallet = { keystore, key };
  localStorage.setItem(KEPT, JSON.stringify(keystore));
  for (const id of ["open-password", "new-password", "again-password"]) /** @type {HTMLInputElement} */ (part(id)).value = "";
  part("closed").hidden = true;
  part("opened").hidden = false;
  part("address").textContent = keystore.address;
  part("account-link").setAttribute("href", `/explorer/accounts/${keystore.address}`);
  stayOpen();
  fromAddress();
  await refresh();
}

/** The account's state, and what a signed transaction of so many bytes costs. @param {number} [size] */
async function refresh(size) {
  if (!wallet) throw new Error("The wallet is locked.");
  const response = await fetch(`/api/v1/accounts/${wallet.keystore.address}${size ? `?size=${size}` : ""}`);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error.message);
  part("balance").textContent = money(body.balance_nano);
  part("nonce").textContent = body.nonce;
  return { balance: BigInt(body.balance_nano), nonce: BigInt(body.nonce), fee: BigInt(body.fee_nano), deposit: BigInt(body.proposal_deposit_nano) };
}

part("open-form").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    const file = /** @type {HTMLInputElement} */ (part("keystore-file")).files?.[0];
    const text = file ? await file.text() : kept();
    if (!text) throw new Error("Choose a keystore file, or make a new wallet.");
    const keystore = parseKeystore(text);
    await open(keystore, await openKeystore(keystore, /** @type {HTMLInputElement} */ (part("open-password")).value, progress));
  });
});

part("new-form").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    const password = /** @type {HTMLInputElement} */ (part("new-password")).value;
    if (password.length < 12) throw new Error("A password has 12 characters or more.");
    if (password !== /** @type {HTMLInputElement} */ (part("again-password")).value) throw new Error("The two passwords differ.");
    const made = await createKeystore(password, progress);
    await open(made.document, made.key);
    download();
  });
});

function download() {
  if (!wallet) return;
  const file = new Blob([JSON.stringify(wallet.keystore, null, 2)], { type: "application/json" });
  const address = URL.createObjectURL(file);
  element("a", { href: address, download: `inferium-${wallet.keystore.address.slice(0, 12)}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
part("save").addEventListener("click", download);
part("lock").addEventListener("click", lock);

for (const tab of document.querySelectorAll("[data-way]")) {
  tab.addEventListener("click", () => {
    const isNew = tab.getAttribute("data-way") === "new";
    for (const other of document.querySelectorAll("[data-way]")) other.setAttribute("aria-selected", String(other === tab));
    part("open-form").hidden = isNew;
    part("new-form").hidden = !isNew;
  });
}

function showFields() {
  const kind = value("kind");
  const shown = kind === "propose" ? [kind, `${kind}-${value("action")}`] : [kind];
  for (const field of document.querySelectorAll("[data-for]")) {
    if (field instanceof HTMLElement) field.hidden = !(field.dataset["for"] ?? "").split(" ").some((name) => shown.includes(name));
  }
}
part("kind").addEventListener("change", showFields);
part("action").addEventListener("change", showFields);

/** `#vote=3&choice=yes` or `#propose=starving_ms`, as pages of governance link here. */
function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("propose")) {
    const name = asked.get("propose") ?? "";
    /** @type {HTMLSelectElement} */ (part("kind")).value = "propose";
    if (/^\w+$/.test(name)) /** @type {HTMLTextAreaElement} */ (part("changes")).value = `${name} = `;
  }
  const proposal = asked.get("vote");
  if (proposal && /^\d+$/.test(proposal)) {
    /** @type {HTMLSelectElement} */ (part("kind")).value = "vote";
    /** @type {HTMLInputElement} */ (part("proposal")).value = proposal;
    /** @type {HTMLSelectElement} */ (part("choice")).value = asked.get("choice") ?? "yes";
  }
  showFields();
}

/** Lines `name = value`, of parameters that there are and within their bounds. @param {string} text */
async function changesOf(text) {
  const response = await fetch("/governance.json");
  if (!response.ok) throw new Error("The network does not tell its parameters now.");
  /** @type {{ name: string, min: number, max: number }[]} */
  const rules = (await response.json()).parameters;
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length === 0) throw new Error("Name at least one parameter, as in starving_ms = 5000.");
  return lines.map((line) => {
    const found = /^(\w+)\s*=\s*(\d+)$/.exec(line);
    if (!found) throw new Error(`“${line}” is not a name, = and a whole number.`);
    const [name, wanted] = [found[1] ?? "", BigInt(found[2] ?? "")];
    const rule = rules.find((one) => one.name === name);
    if (!rule) throw new Error(`There is no parameter ${name}.`);
    if (wanted < BigInt(rule.min) || wanted > BigInt(rule.max)) throw new Error(`${name} is between ${rule.min} and ${rule.max}.`);
    return { name, value: wanted };
  });
}

/** @returns {Promise<import("./transaction.js").Action>} */
async function actionOf() {
  switch (value("action")) {
    case "parameters":
      return { name: "parameters", changes: await changesOf(value("changes")) };
    case "spend":
      return { name: "spend", to: parseAddress(value("to"), "The receiver's address"), amount: parseAmount(value("amount")) };
    default:
      return { name: "text" };
  }
}

/** What the form asks for. @returns {Promise<Body>} */
async function bodyOf() {
  const kind = value("kind");
  switch (kind) {
    case "transfer":
      return { kind, to: parseAddress(value("to"), "The receiver's address"), amount: parseAmount(value("amount")) };
    case "bond":
    case "unbond":
      return { kind, node: parseAddress(value("node"), "The node's address"), amount: parseAmount(value("amount")) };
    case "vote":
      if (!/^\d+$/.test(value("proposal"))) throw new Error("A proposal is a number.");
      return { kind, proposal: BigInt(value("proposal")), choice: value("choice") };
    case "propose":
      if (!value("title")) throw new Error("A proposal has a title.");
      return { kind, title: value("title"), description: value("why"), action: await actionOf() };
    default:
      throw new Error(`There is no transaction ${kind}.`);
  }
}

/** Shows what would be signed and waits for the answer. @param {{ title: string, fields: [string, string][] }} words @param {Uint8Array} signed */
function review(words, signed) {
  const dialog = /** @type {HTMLDialogElement} */ (part("review"));
  part("review-words").textContent = words.title;
  part("review-fields").replaceChildren(...words.fields.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  part("review-bytes").textContent = toHex(signed);
  dialog.showModal();
  return new Promise((resolve) => {
    const sign = part("sign");
    const agree = () => {
      sign.removeEventListener("click", agree);
      dialog.returnValue = "sign";
      dialog.close("sign");
    };
    dialog.returnValue = "";
    sign.addEventListener("click", agree);
    dialog.addEventListener("close", () => {
      sign.removeEventListener("click", agree);
      resolve(dialog.returnValue === "sign");
    }, { once: true });
  });
}

/** Waits for the block. @param {string} id */
async function settled(id) {
  for (let tries = 0; tries < 120; tries += 1) {
    const response = await fetch(`/api/v1/transactions/${id}`);
    const found = await response.json();
    if (found.status === "final") return found;
    if (found.status === "rejected") throw new Error(`Validators dropped it: ${found.reason}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error("It is in no block after 30 s; it may still get there, so look before you send again.");
}

part("make").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    if (!wallet) throw new Error("The wallet is locked.");
    const { keystore, key } = wallet;
    const body = await bodyOf();
    const sender = fromHex(keystore.address) ?? new Uint8Array();
    const chain = parseName(part("wallet").dataset["chain"] ?? "", "The chain");
    const { balance, nonce, fee, deposit } = await refresh(encodeTransaction({ chain, sender, nonce: 0n, body }).length + SIGNATURE_SIZE);
    const locks = body.kind === "propose" ? deposit : 0n;
    const takes = fee + locks + (body.kind === "transfer" || body.kind === "bond" ? body.amount : 0n);
    if (takes > balance) throw new Error(`The account holds ${money(balance)}; this takes ${money(takes)}, the fee included.`);
    const transaction = { chain, sender, nonce, body };
    // The bytes are made once, before the words are read: what is shown is what is signed.
    const signed = signedBytes(transaction);
    const words = describe(transaction, fee);
    if (locks > 0n) words.fields.push(["deposit", `${money(locks)}, which comes back unless it is vetoed`]);
    if (!(await review(words, signed))) return;
    const signature = await key.sign(signed);
    stayOpen();
    const response = await fetch("/api/v1/transactions", {
      method: "POST", headers: { "content-type": "application/octet-stream" },
      body: /** @type {BodyInit} */ (concat(encodeTransaction(transaction), signature)),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`Validators refuse it: ${answer.error.message}`);
    part("wallet-done").textContent = "Sent. Waiting for a final block…";
    const done = await settled(answer.transaction);
    await refresh();
    const link = element("a", { href: `/explorer/transactions/${answer.transaction}` }, `block ${done.height}`);
    if (done.failed) throw new Error(`It is in block ${done.height}, but did nothing and cost its fee: ${done.failed}`);
    part("wallet-done").replaceChildren("Final in ", link, ".");
  });
});

lock();
showFields();
