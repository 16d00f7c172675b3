// Follows an answer to its receipt, and the receipt to its check in this browser.

import { waitForReceipt } from "./chat.js";
import { badge, check, element, money } from "./receipt-view.js";

/**
 * Shows at `place` where an answer stands, until its receipt was checked here.
 * @param {HTMLElement} place
 * @param {string} job
 * @param {string} note what is said beside it
 * @param {(body: any) => (Node | string)[]} [facts] what a checked receipt says
 * @returns {Promise<boolean>} whether it was, and holds
 */
export async function prove(place, job, note, facts = factsOfTokens) {
  const more = note ? [element("span", {}, note)] : [];
  if (!job) {
    place.replaceChildren(...more);
    return false;
  }
  const link = element("a", { href: `/explorer/receipts/${job}` }, "receipt");
  place.replaceChildren(badge("provisional", "busy"), ...more, link);
  try {
    const { status, file, body } = await waitForReceipt(job);
    if (status !== "final" && status !== "settled") {
      place.replaceChildren(badge(status, "bad"), ...more, element("span", {}, body.reason ?? ""));
      return false;
    }
    const verdict = await check(file);
    const shown = verdict.valid ? badge(`${status}, verified here`, "good") : badge("the receipt does not hold", "bad");
    shown.setAttribute("data-verified", String(verdict.valid));
    place.replaceChildren(shown, ...more, ...facts(body), link);
    return verdict.valid;
  } catch (error) {
    place.replaceChildren(badge("unknown", "bad"), element("span", {}, error instanceof Error ? error.message : String(error)));
  }
  return false;
}

/** @param {any} body */
export const nodeOf = (body, role = "worker") => element("a", { href: `/explorer/nodes/${body.worker}`, title: body.worker }, `${role} ${body.worker.slice(0, 8)}…`);

/** @param {any} body */
function factsOfTokens(body) {
  const { prompt_tokens: prompt, completion_tokens: answer } = body.usage;
  return [element("span", {}, `${prompt} + ${answer} tokens`), element("b", {}, money(body.fee_nano)), nodeOf(body)];
}
