// Runs an agent from its page: `POST /v1/runs`, each call as it happens, and the receipts of the run and of its calls.

import { ChatError, events } from "./chat.js";
import { nodeOf, prove } from "./proof.js";
import { badge, element, money } from "./receipt-view.js";
import { apiKey, bindKeyFields } from "./session.js";

bindKeyFields();

/** @template {HTMLElement} T @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id));

/** @type {AbortController | null} */
let running = null;

/** A file as the API takes it. @param {File} file */
async function read(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return { name: file.name, content: btoa(text), encoding: "base64" };
}

/** What is asked for, from the form. */
async function request() {
  const files = [.../** @type {HTMLInputElement} */ (part("files")).files ?? []];
  /** @type {Record<string, string>} */
  const secrets = {};
  for (const field of document.querySelectorAll("[data-secret]")) {
    if (field instanceof HTMLInputElement) secrets[field.dataset["secret"] ?? ""] = field.value;
  }
  return {
    agent: part("studio").dataset["agent"],
    input: /** @type {HTMLTextAreaElement} */ (part("task")).value.trim(),
    stream: true,
    ...(files.length > 0 ? { files: await Promise.all(files.map(read)) } : {}),
    ...(Object.keys(secrets).length > 0 ? { secrets } : {}),
  };
}

/**
 * A call of the run, with its mark.
 * @param {string} kind @param {string} name @param {string} detail @param {string} receipt
 */
function call(kind, name, detail, receipt) {
  const line = element("div", {}, element("b", {}, name), element("span", { class: "note" }, detail));
  if (receipt) line.append(element("a", { class: "note", href: `/explorer/receipts/${receipt}` }, "receipt"));
  return element("li", { class: kind }, line);
}

/** A call while the run goes on: what it took. @param {any} news */
function showNews(news) {
  const made = news.type === "model"
    ? call("model", "Model", `${news.prompt_tokens} + ${news.completion_tokens} tokens, ${news.cost} IFR`, news.job)
    : call(news.failed ? "tool failed" : "tool", news.name, `${news.failed ? "failed" : "done"} in ${news.took_ms} ms`, "");
  part("calls").append(made);
}

/** What was said in a call. @param {string} title @param {string} text */
const said = (title, text) => element("details", {}, element("summary", {}, title), element("pre", { tabindex: "0" }, text));

/** A finished call: what was said in it too. @param {any} one */
function whole(one) {
  if (one.type === "model") {
    const made = call("model", "Model", `${one.prompt_tokens} + ${one.completion_tokens} tokens${one.cost ? `, ${one.cost} IFR` : ""}`, one.job);
    made.append(said("What it said", one.text));
    return made;
  }
  if (one.type === "tool") {
    const took = one.took_ms === null ? "" : ` in ${one.took_ms} ms`;
    const made = call(one.failed ? "tool failed" : "tool", one.name, `${one.failed ? "failed" : "done"}${took}`, "");
    made.append(said("What it was asked and said", `${one.arguments}\n\n${one.response}`));
    return made;
  }
  if (one.type === "spend") return call("spend", "Payment ordered", `${one.amount} IFR to ${one.to.slice(0, 12)}…, paid by the ledger once this is settled`, "");
  return call("spend", "Agent hired", `${one.agent.slice(0, 12)}…`, "");
}

/** The run at its end. @param {any} run */
function finish(run) {
  part("calls").replaceChildren(...run.calls.map(whole));
  part("answer").textContent = run.answer;
  part("answer-box").hidden = false;
  part("run-state").replaceChildren(badge("answered", "good"));
  const cost = `cost ${money(run.cost_nano)} with its model calls`;
  // A proof that comes when the next run has begun is written where nobody sees it any more.
  const place = element("div", { class: "proof" });
  part("proof").replaceChildren(place);
  const facts = (/** @type {any} */ body) => [element("b", {}, `${money(body.fee_nano)} for the run`), nodeOf(body, "host")];
  prove(place, run.inferium.job, cost, facts).then((isProven) => {
    if (isProven) place.after(reviewForm(run.id));
  });
}

/** Says what a run was worth that is paid now. @param {string} id */
function reviewForm(id) {
  const words = element("textarea", { rows: "2", maxlength: "2000", "aria-label": "What others should know", placeholder: "What should others know? (if anything)" });
  const choice = element("fieldset", { class: "rating" }, element("legend", {}, "What was it worth?"));
  for (let rating = 1; rating <= 5; rating += 1) {
    choice.append(element("label", {}, element("input", { type: "radio", name: "rating", value: String(rating), required: "" }), `${rating}`));
  }
  const said = element("p", { role: "status", class: "note" });
  const form = element("form", { class: "review" }, choice, words, element("button", { type: "submit" }, "Publish the review"), said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const rating = Number(new FormData(/** @type {HTMLFormElement} */ (form)).get("rating"));
    const text = /** @type {HTMLTextAreaElement} */ (words).value;
    const headers = { "content-type": "application/json", authorization: `Bearer ${apiKey()}` };
    try {
      const response = await fetch(`/v1/runs/${id}/review`, { method: "PUT", headers, body: JSON.stringify({ rating, text }) });
      const body = await response.json();
      said.textContent = response.ok ? "Published: it stands on this page from now on." : (body.error?.message ?? `The gateway answered ${response.status}.`);
    } catch (error) {
      said.textContent = error instanceof Error ? error.message : String(error);
    }
  });
  return form;
}

/** @param {boolean} isRunning */
function busy(isRunning) {
  part("stop").hidden = !isRunning;
  /** @type {HTMLButtonElement} */ (part("go")).disabled = isRunning;
}

/** Asks, and shows what comes. @param {AbortSignal} signal */
async function run(signal) {
  const key = apiKey();
  if (!key) throw new ChatError("An API key is missing: paste the one that `inferium up` printed.");
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const response = await fetch("/v1/runs", { method: "POST", headers, body: JSON.stringify(await request()), signal });
  if (!response.ok || !response.body) {
    const body = await response.json().catch(() => null);
    throw new ChatError(body?.error?.message ?? `The gateway answered ${response.status}.`);
  }
  for await (const event of events(response.body)) {
    if (event.error) throw new ChatError(event.error.message);
    if (event.object !== "run") showNews(event);
    else if (event.status === "completed") return finish(event);
    else part("run-state").replaceChildren(badge("hosted", "busy"));
  }
  throw new ChatError("The connection ended before the run did.");
}

part("run")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  busy(true);
  part("run-error").textContent = "";
  part("calls").replaceChildren();
  part("answer-box").hidden = true;
  part("outcome").hidden = false;
  part("run-state").replaceChildren(badge("looking for a host", "busy"));
  try {
    await run(running.signal);
  } catch (error) {
    const isStopped = running.signal.aborted;
    part("run-state").replaceChildren(isStopped ? badge("stopped: it cost its model calls alone", "plain") : badge("no answer: it cost its model calls alone", "bad"));
    if (!isStopped) part("run-error").textContent = error instanceof Error ? error.message : String(error);
  } finally {
    running = null;
    busy(false);
  }
});
part("stop")?.addEventListener("click", () => running?.abort());
