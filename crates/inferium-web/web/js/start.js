// The first page: ask, watch the checks, break a byte, see it fail.

import { chat, chatModels, waitForReceipt } from "./chat.js";
import { badge, check, element, renderVerdict } from "./receipt-view.js";
import { bindKeyFields } from "./session.js";

bindKeyFields();

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** Bytes that are shown at once. */
const WINDOW = 128;

/** @type {AbortController | null} */
let running = null;

/** @param {string} name @param {"" | "now" | "held" | "bad"} mood @param {...(Node | string)} details */
function step(name, mood, ...details) {
  const item = document.querySelector(`[data-step="${name}"]`);
  if (!item) return;
  item.className = mood;
  if (details.length > 0) item.querySelector(".detail")?.replaceChildren(...details.map((detail) => element("div", {}, detail)));
}

const STEPS = ["answer", "signed", "committed", "checked", "final", "verified"];

/** What the explorer knows of a segment, as steps. @param {any} segment */
function showSegment(segment) {
  /** @param {string} kind */
  const of = (kind) => segment.steps.filter((/** @type {any} */ one) => one.kind === kind);
  const [committed] = of("committed");
  if (committed) {
    step("committed", "held", element("a", { href: `/explorer/blocks/${committed.height}` }, `block ${committed.height}`));
    step("checked", "now");
  }
  const drawn = of("committee").map((/** @type {any} */ one) => one.text);
  const verdicts = of("verdict").map((/** @type {any} */ one) => `${one.name ?? one.node.slice(0, 12)} ${one.text}`);
  if (drawn.length + verdicts.length > 0) step("checked", "now", ...drawn, ...verdicts);
  const [final] = of("final");
  if (final) {
    step("checked", "held");
    step("final", "held", element("a", { href: `/explorer/blocks/${final.height}` }, `block ${final.height}`), final.text);
  }
}

/** Watches a segment until the signal ends. @param {string} id @param {AbortSignal} signal */
function watch(id, signal) {
  let isAsking = false;
  const look = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      const response = await fetch(`/api/v1/segments/${id}`, { signal });
      if (response.ok) showSegment(await response.json());
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      isAsking = false;
    }
  };
  window.addEventListener("inferium-block", look, { signal });
  return look;
}

/** @param {string} question */
async function ask(question) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  for (const name of STEPS) {
    step(name, "");
    document.querySelector(`[data-step="${name}"] .detail`)?.replaceChildren();
  }
  part("answer").textContent = "";
  part("ask-error").textContent = "";
  part("break").hidden = true;
  part("answer-state").replaceChildren();
  const [model] = await chatModels();
  if (!model) throw new Error("This gateway serves no model that chats.");
  part("journey").hidden = false;
  part("journey").scrollIntoView({ behavior: "smooth", block: "start" });
  step("answer", "now");
  part("answer-state").replaceChildren(badge("provisional", "busy"));
  const answer = await chat({ model: model.id, messages: [{ role: "user", content: question }], max_tokens: 96 }, {
    signal,
    onText: (text) => part("answer").append(text),
  });
  const speed = answer.tokensPerSecond > 0 ? `${answer.tokensPerSecond.toFixed(0)} tokens a second` : "at once";
  step("answer", "held", `${answer.usage?.completion_tokens ?? "?"} tokens, ${speed}`);
  step("signed", "now");
  await follow(answer.job, signal);
}

/** From the signatures to the check. @param {string} job @param {AbortSignal} signal */
async function follow(job, signal) {
  const looking = new AbortController();
  signal.addEventListener("abort", () => looking.abort());
  /** @type {(() => Promise<void>) | null} */
  let look = null;
  const found = (/** @type {string} */ segment) => {
    if (look) return;
    step("signed", "held", element("a", { href: `/explorer/segments/${segment}`, class: "id" }, `segment ${segment.slice(0, 12)}…`));
    step("committed", "now");
    look = watch(segment, looking.signal);
    look();
  };
  const { status, file, body } = await waitForReceipt(job, { signal, onSegment: found });
  if (body.segment) found(body.segment);
  if (status !== "final" && status !== "settled") {
    step("checked", "bad", body.reason ?? `the job is ${status}`);
    part("answer-state").replaceChildren(badge(status, "bad"));
    return;
  }
  await settle(body.segment);
  looking.abort();
  part("answer-state").replaceChildren(badge("final", "good"));
  step("verified", "now");
  const verdict = await check(file);
  step("verified", verdict.valid ? "held" : "bad", `${verdict.checks.length} checks, none asked of a server`);
  part("permalink").setAttribute("href", `/explorer/receipts/${job}`);
  breakable(file, body);
  part("verdict").replaceChildren(renderVerdict(verdict));
  part("break").hidden = false;
}

/** The gateway may know the verdict a block before the explorer does. @param {string} segment */
async function settle(segment) {
  for (let tries = 0; tries < 40; tries += 1) {
    const response = await fetch(`/api/v1/segments/${segment}`);
    if (response.ok) {
      const known = await response.json();
      showSegment(known);
      if (known.state === "final" || known.state === "settled") return;
    }
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

/** Lets the reader change any byte of the proof. @param {string} file @param {{ proof: string }} body */
function breakable(file, body) {
  const size = body.proof.length / 2;
  let first = 0;
  /** @type {number | null} */
  let broken = null;
  const grid = part("bytes");
  const mend = /** @type {HTMLButtonElement} */ (part("mend"));

  const flipped = (/** @type {number} */ at) => (Number.parseInt(body.proof.slice(2 * at, 2 * at + 2), 16) ^ 1).toString(16).padStart(2, "0");
  const proof = () => (broken === null ? body.proof : body.proof.slice(0, 2 * broken) + flipped(broken) + body.proof.slice(2 * broken + 2));
  const judge = async () => part("verdict").replaceChildren(renderVerdict(await check(file.replace(body.proof, proof()))));
  const draw = () => {
    const shown = proof();
    const cells = [];
    for (let at = first; at < Math.min(first + WINDOW, size); at += 1) {
      const value = shown.slice(2 * at, 2 * at + 2);
      const isBroken = at === broken;
      const cell = element("button", { type: "button", "data-at": String(at), class: isBroken ? "broken" : "", "aria-label": `Byte ${at}: ${value}${isBroken ? ", changed" : ""}` }, value);
      cells.push(cell);
    }
    grid.replaceChildren(...cells);
    mend.disabled = broken === null;
  };
  grid.onclick = async (event) => {
    const cell = event.target instanceof HTMLElement ? event.target.closest("[data-at]") : null;
    if (!(cell instanceof HTMLElement)) return;
    const at = Number(cell.dataset["at"]);
    broken = broken === at ? null : at;
    draw();
    const focused = grid.querySelector(`[data-at="${at}"]`);
    if (focused instanceof HTMLElement) focused.focus();
    await judge();
  };
  mend.onclick = async () => {
    broken = null;
    draw();
    await judge();
  };
  part("elsewhere").onclick = () => {
    first = first + WINDOW >= size ? 0 : first + WINDOW;
    draw();
  };
  draw();
}

part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = /** @type {HTMLTextAreaElement} */ (part("question")).value.trim();
  if (!question) return;
  ask(question).catch((error) => {
    if (error?.name !== "AbortError") part("ask-error").textContent = error.message;
  });
});
part("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    /** @type {HTMLFormElement} */ (part("ask")).requestSubmit();
  }
});
