// openai for Node, unmodified: what it reads is what was computed, and what it raises is what happened.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { EMBEDDER, MODEL, Person, Weather, answered, snippet } from "./shared.mjs";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const asked = { model: MODEL, messages, max_tokens: 24, temperature: 0 };

test("the snippet of the documentation prints an answer and where its receipt is", async () => {
  const lines = (await snippet("openai.mjs")).trim().split("\n");
  assert.ok(lines.length >= 2);
  assert.match(lines.at(-1), /^\/v1\/receipts\/[0-9a-f]{64}$/);
});

test("models are listed and found by their names", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names.sort(), [EMBEDDER, MODEL].sort());
  assert.ok((await client.models.retrieve(MODEL)).context_length > 1_000);
});

test("a stream is the whole answer in pieces, with and without usage asked for", async () => {
  for (const fields of [{}, { temperature: 0.9, seed: 7 }]) {
    const { data: whole, request_id: id } = await client.chat.completions.create({ ...asked, ...fields }).withResponse();
    assert.match(id, /^req-/);
    assert.equal(whole.usage.completion_tokens, 24);
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + 24);
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ ...asked, ...fields, stream: true })) chunks.push(chunk);
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), whole.choices[0].message.content);
    assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason), [...chunks.slice(1).map(() => null), "length"]);
    assert.deepEqual(chunks.filter((chunk) => chunk.usage).map((chunk) => chunk.usage.completion_tokens), [24]);
    const runner = client.chat.completions.stream({ ...asked, ...fields, stream_options: { include_usage: true } });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
    assert.deepEqual(await runner.totalUsage(), { completion_tokens: 24, prompt_tokens: whole.usage.prompt_tokens, total_tokens: whole.usage.total_tokens });
  }
});

test("tools are called by runTools, and its last word comes after their results", async () => {
  const seen = [];
  const parameters = z.toJSONSchema(Weather);
  const run = async (given) => {
    seen.push(Weather.parse(JSON.parse(given)));
    return "21 degrees";
  };
  const tools = [{ type: "function", function: { name: "get_weather", description: "The weather of a city", parameters, function: run } }];
  const question = [{ role: "user", content: "What is the weather in Paris?" }];
  const forced = { type: "function", function: { name: "get_weather" } };
  for (const stream of [false, true]) {
    const runner = client.chat.completions.runTools({ model: MODEL, messages: question, tools, tool_choice: forced, parallel_tool_calls: false, max_tokens: 80, temperature: 0, stream });
    await runner.done();
    const roles = runner.messages.map((message) => message.role);
    assert.deepEqual(roles.slice(0, 3), ["user", "assistant", "tool"]);
    assert.equal(runner.messages[2].content, "21 degrees");
  }
  assert.equal(seen.length, 2);
  assert.deepEqual(seen[0], seen[1], "streamed and whole, the same call");
});

test("parsed answers have the form that was asked for", async () => {
  const fields = { ...asked, messages: [{ role: "user", content: "Ann is 41 years old. Who is it?" }], max_tokens: 200 };
  const answer = await client.chat.completions.parse({ ...fields, response_format: zodResponseFormat(Person, "person") });
  assert.deepEqual(Person.parse(JSON.parse(answer.choices[0].message.content)), answer.choices[0].message.parsed);
});

test("responses are whole and streamed", async () => {
  const fields = { model: MODEL, input: "Why is the sky blue?", max_output_tokens: 16, temperature: 0 };
  const whole = await client.responses.create(fields);
  const stream = client.responses.stream(fields);
  const final = await stream.finalResponse();
  assert.equal(final.output_text, whole.output_text);
  assert.equal(final.usage.output_tokens, 16);
  assert.equal(final.status, "incomplete");
});

test("vectors are the same as numbers and as base64", async () => {
  const packed = await client.embeddings.create({ model: EMBEDDER, input: "Why is the sky blue?" });
  const floats = await client.embeddings.create({ model: EMBEDDER, input: "Why is the sky blue?", encoding_format: "float" });
  assert.equal(packed.data[0].embedding.length, 384);
  assert.deepEqual(new Float32Array(packed.data[0].embedding), new Float32Array(floats.data[0].embedding));
});

test("errors are of the class that they are and tried as often as they should", async () => {
  const eager = new OpenAI();
  const cases = [
    [new OpenAI({ apiKey: `sk-inferium-${"0".repeat(48)}` }), asked, OpenAI.AuthenticationError, 401, "invalid_api_key", null, 1],
    [eager, { ...asked, model: "gpt-9" }, OpenAI.NotFoundError, 404, "model_not_found", "model", 1],
    [eager, { ...asked, temperature: 3 }, OpenAI.BadRequestError, 400, "invalid_value", "temperature", 1],
    [eager, { ...asked, provider: { only: ["00".repeat(32)] } }, OpenAI.InternalServerError, 503, "no_worker_available", null, 3],
  ];
  for (const [by, fields, kind, status, code, param, tries] of cases) {
    const before = await answered(status);
    await assert.rejects(by.chat.completions.create(fields), (error) => {
      assert.ok(error instanceof kind, `${error}`);
      assert.deepEqual([error.status, error.code, error.param], [status, code, param]);
      assert.match(error.requestID, /^req-/);
      return true;
    });
    assert.equal(await answered(status) - before, tries, `tries on ${status}`);
  }
});
