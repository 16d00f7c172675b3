// The playground: a conversation whose every answer carries its receipt.

import { chat, chatModels } from "./chat.js";
import { prove } from "./proof.js";
import { element } from "./receipt-view.js";
import { apiKey, bindKeyFields } from "./session.js";

bindKeyFields();

/** @template {HTMLElement} T @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id));
/** @param {string} id */
const value = (id) => /** @type {HTMLInputElement} */ (part(id)).value.trim();

/** @type {{ role: string, content: string }[]} */
const messages = [];
/** @type {AbortController | null} */
let running = null;

for (const id of ["temperature", "top_p"]) {
  part(id).addEventListener("input", () => {
    const output = document.querySelector(`output[for="${id}"]`);
    if (output) output.textContent = value(id);
  });
}

/** The request as it will be sent. @param {{ role: string, content: string }[]} turns */
function requestOf(turns) {
  const system = value("system");
  /** @type {Record<string, any>} */
  const request = {
    model: value("model"),
    messages: system ? [{ role: "system", content: system }, ...turns] : turns,
    temperature: Number(value("temperature")),
    top_p: Number(value("top_p")),
    max_tokens: Number(value("max_tokens")) || 160,
  };
  if (value("seed") !== "") request["seed"] = Number(value("seed"));
  return request;
}

/** @param {boolean} isRunning */
function busy(isRunning) {
  part("stop").hidden = !isRunning;
  /** @type {HTMLButtonElement} */ (part("send")).disabled = isRunning;
}

/** @param {string} text */
async function say(text) {
  part("say-error").textContent = "";
  part("no-turns").hidden = true;
  messages.push({ role: "user", content: text });
  const asked = element("div", { class: "turn user" }, text);
  const said = element("div", { class: "text flowing" });
  const proof = element("div", { class: "proof" });
  const turn = element("article", { class: "turn model", "aria-label": "Answer" }, said, proof);
  part("turns").append(asked, turn);
  turn.scrollIntoView({ block: "end" });
  running = new AbortController();
  busy(true);
  let job = "";
  try {
    const answer = await chat(requestOf(messages), {
      signal: running.signal,
      onText: (piece) => {
        said.append(piece);
        if (window.innerHeight + window.scrollY > document.body.scrollHeight - 240) turn.scrollIntoView({ block: "end" });
      },
      onJob: (id) => {
        job = id;
      },
    });
    messages.push({ role: "assistant", content: answer.text });
    const speed = answer.tokensPerSecond > 0 ? `${answer.tokensPerSecond.toFixed(0)} tokens/s` : "";
    prove(proof, job, speed);
  } catch (error) {
    if (running.signal.aborted) {
      messages.push({ role: "assistant", content: said.textContent ?? "" });
      prove(proof, job, "stopped");
    } else {
      messages.pop();
      turn.remove();
      asked.remove();
      const field = /** @type {HTMLTextAreaElement} */ (part("message"));
      if (field.value === "") field.value = text;
      part("say-error").textContent = error instanceof Error ? error.message : String(error);
    }
  } finally {
    said.classList.remove("flowing");
    running = null;
    busy(false);
  }
}

part("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = /** @type {HTMLTextAreaElement} */ (part("message"));
  const text = field.value.trim();
  if (!text || running) return;
  field.value = "";
  say(text);
});
part("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    /** @type {HTMLFormElement} */ (part("say")).requestSubmit();
  }
});
part("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
part("clear").addEventListener("click", () => {
  running?.abort();
  messages.length = 0;
  for (const turn of document.querySelectorAll(".turn")) turn.remove();
  part("no-turns").hidden = false;
});

/** The same request in a language. @param {string} language */
function code(language) {
  const typed = value("message") || "Why is the sky blue?";
  const request = requestOf([...messages, { role: "user", content: typed }]);
  const base = `${location.origin}/v1`;
  if (language === "curl") {
    const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
    return `curl ${base}/chat/completions \\\n  -H "authorization: Bearer $OPENAI_API_KEY" \\\n  -H "content-type: application/json" \\\n  -d '${body}'`;
  }
  if (language === "python") {
    const fields = Object.entries(request).map(([name, field]) => `    ${name}=${JSON.stringify(field)},`).join("\n");
    return `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}")\nanswer = client.chat.completions.create(\n${fields}\n)\nprint(answer.choices[0].message.content)\nprint(answer.model_extra["inferium"]["receipt_url"])`;
  }
  return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}" });\nconst answer = await client.chat.completions.create(${JSON.stringify(request, null, 2)});\nconsole.log(answer.choices[0].message.content);\nconsole.log(answer.inferium.receipt_url);`;
}

/** @param {string} language */
function showCode(language) {
  for (const tab of document.querySelectorAll("[data-code]")) tab.setAttribute("aria-selected", String(tab.getAttribute("data-code") === language));
  part("code-text").textContent = code(language);
}
for (const tab of document.querySelectorAll("[data-code]")) tab.addEventListener("click", () => showCode(tab.getAttribute("data-code") ?? "curl"));
part("code").addEventListener("click", () => {
  showCode("curl");
  /** @type {HTMLDialogElement} */ (part("code-dialog")).showModal();
});

chatModels().then((models) => {
  part("model").replaceChildren(...models.map((model) => element("option", { value: model.id }, model.id)));
  if (!apiKey()) part("no-turns").prepend("Paste an API key among the parameters to begin; ", element("code", {}, "inferium up"), " prints one. ");
}).catch((error) => {
  part("say-error").textContent = `The gateway does not name its models: ${error.message}`;
});
