// Asks the gateway as any client would: `POST /v1/chat/completions`, streamed.

import { apiKey } from "./session.js";

/** @typedef {{ text: string, job: string, usage: { prompt_tokens: number, completion_tokens: number } | null, seconds: number, tokensPerSecond: number }} Answer */

/** An answer that did not come, in words of the gateway. */
export class ChatError extends Error {}

/** Events of a stream. @param {ReadableStream<Uint8Array>} body */
export async function* events(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      let end = rest.indexOf("\n\n");
      while (end >= 0) {
        const data = rest.slice(0, end).split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
        rest = rest.slice(end + 2);
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data);
        end = rest.indexOf("\n\n");
      }
    }
  } finally {
    // Whoever stops reading stops the work behind it.
    await reader.cancel().catch(() => undefined);
  }
}

/**
 * Streams an answer.
 * @param {Record<string, any>} request
 * @param {{ signal?: AbortSignal, onText: (text: string) => void, onJob?: (job: string) => void }} options
 * @returns {Promise<Answer>}
 */
export async function chat(request, { signal, onText, onJob }) {
  const key = apiKey();
  if (!key) throw new ChatError("An API key is missing: paste the one that `inferium up` printed.");
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal: signal ?? null,
  });
  if (!response.ok || !response.body) {
    const body = await response.json().catch(() => null);
    throw new ChatError(body?.error?.message ?? `The gateway answered ${response.status}.`);
  }
  const job = response.headers.get("x-inferium-job") ?? "";
  onJob?.(job);
  let [text, first, last, pieces] = ["", 0, 0, 0];
  /** @type {Answer["usage"]} */
  let usage = null;
  for await (const event of events(response.body)) {
    if (event.error) throw new ChatError(event.error.message);
    const piece = event.choices?.[0]?.delta?.content;
    if (piece) {
      last = performance.now();
      first ||= last;
      pieces += 1;
      text += piece;
      onText(piece);
    }
    usage = event.usage ?? usage;
  }
  const seconds = (last - first) / 1000;
  const tokens = usage?.completion_tokens ?? pieces;
  return { text, job, usage, seconds, tokensPerSecond: seconds > 0 ? Math.max(0, tokens - 1) / seconds : 0 };
}

/** Models that chat. @returns {Promise<{ id: string, context_length: number }[]>} */
export async function chatModels() {
  const response = await fetch("/v1/models");
  const { data } = await response.json();
  return data.filter((/** @type {any} */ model) => model.task === undefined || model.task === "chat");
}

/** @param {number} ms @param {AbortSignal} [signal] */
const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(signal.reason);
  }, { once: true });
});

/**
 * Asks for a receipt until the network has judged the job. The file is handed on as it came: a parsed one has lost
 * what the check reads.
 * @param {string} job
 * @param {{ signal?: AbortSignal, onSegment?: (segment: string) => void }} [options]
 * @returns {Promise<{ status: string, file: string, body: any }>}
 */
export async function waitForReceipt(job, { signal, onSegment } = {}) {
  for (;;) {
    const response = await fetch(`/v1/receipts/${job}`, { signal: signal ?? null });
    const file = await response.text();
    const body = JSON.parse(file);
    if (response.status !== 202) return { status: response.ok ? body.status : "unknown", file, body };
    if (body.segment) onSegment?.(body.segment);
    await pause(300, signal);
  }
}
