// Shows what a check of a receipt found, line by line.

import { networkKey } from "./session.js";

/** @typedef {import("./receipt.js").Verdict} Verdict */

/**
 * Checks a receipt's file from the page's network key. The arithmetic is fetched when it is first needed.
 * @param {string} file
 * @returns {Promise<Verdict>}
 */
export async function check(file) {
  const { parseNetworkKey, verifyReceipt } = await import("./receipt.js");
  return verifyReceipt(file, parseNetworkKey(networkKey()));
}

/**
 * An element with text and children.
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

/** @param {string} state @param {string} mood */
export const badge = (state, mood) => element("span", { class: `badge ${mood}` }, state);

/** Nano-IFR as IFR. @param {bigint | number | string} nano */
export function money(nano) {
  const [amount, one] = [BigInt(nano), 1_000_000_000n];
  const decimals = (amount % one).toString().padStart(9, "0").replace(/0+$/, "");
  return `${amount / one}${decimals ? `.${decimals}` : ""} IFR`;
}

/** @param {Verdict} verdict */
export function renderVerdict(verdict) {
  const title = verdict.valid
    ? element("p", { class: "verdict good" }, "The receipt holds.")
    : element("p", { class: "verdict bad" }, "The receipt does not hold.");
  const line = (/** @type {string} */ mark, /** @type {string} */ mood, /** @type {string} */ name, /** @type {string} */ detail) =>
    element("li", { class: mood }, element("span", { class: "mark", "aria-hidden": "true" }, mark), element("div", {}, name, element("small", {}, detail)));
  const lines = verdict.checks.map((one) => line("✓", "good", one.title, one.detail));
  if (verdict.failed) lines.push(line("✕", "bad", `Failed: ${verdict.failed.check}`, verdict.failed.reason));
  return element("div", { "data-valid": String(verdict.valid) }, title, element("ul", { class: "checks" }, ...lines));
}
