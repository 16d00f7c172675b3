// A receipt's own page: waits for the verdict of the network, then checks the file.

import { waitForReceipt } from "./chat.js";
import { badge, check, element, money, renderVerdict } from "./receipt-view.js";

const place = document.getElementById("receipt");
const state = document.getElementById("receipt-state");

/** @param {string} kind @param {string} id */
const link = (kind, id) => element("a", { href: `/explorer/${kind}/${id}`, class: "id", title: id }, `${id.slice(0, 12)}…`);

async function run() {
  if (!place || !state) return;
  place.replaceChildren(element("p", { class: "empty" }, "Waiting for the network's verdict…"));
  const { status, file, body } = await waitForReceipt(place.dataset["job"] ?? "");
  if (status !== "final" && status !== "settled") {
    state.replaceChildren(badge(status, "bad"));
    const why = body.reason ?? body.error?.message ?? "There is no receipt of this job.";
    place.replaceChildren(element("p", { class: "error" }, why));
    return;
  }
  place.replaceChildren(element("p", { class: "empty" }, "Checking the evidence…"));
  const verdict = await check(file);
  state.replaceChildren(badge(verdict.valid ? status : "invalid", verdict.valid ? "good" : "bad"));
  const fact = (/** @type {string} */ name, /** @type {Node | string} */ value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  const facts = element("dl", { class: "facts" },
    fact("Worker", link("nodes", body.worker)), fact("Gateway", link("nodes", body.gateway)), fact("Segment", link("segments", body.segment)),
    fact("Block", element("a", { href: `/explorer/blocks/${body.height}` }, String(body.height))),
    fact("Tokens", `${body.usage.prompt_tokens} of the prompt, ${body.usage.completion_tokens} of the answer`),
    fact("Fee", money(body.fee_nano)), fact("Replayed", `${body.replayed_ppm / 10_000} % of the segment, by ${body.approved_by.length} validators`));
  place.replaceChildren(facts, element("section", { class: "card" }, renderVerdict(verdict)),
    element("details", {}, element("summary", {}, "The file"), element("pre", { tabindex: "0" }, JSON.stringify(body, null, 2))));
}

run().catch((error) => place?.replaceChildren(element("p", { class: "error" }, String(error?.message ?? error))));
