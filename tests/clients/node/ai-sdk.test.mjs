// The AI SDK, unmodified, with its provider for OpenAI-compatible servers.
import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { BASE, EMBEDDER, MODEL, Person, Weather, snippet } from "./shared.mjs";

const inferium = createOpenAICompatible({ name: "inferium", baseURL: BASE, apiKey: process.env.OPENAI_API_KEY, supportsStructuredOutputs: true });
const model = inferium(MODEL);
const settings = { model, temperature: 0, seed: 5, maxOutputTokens: 24, maxRetries: 0 };

test("the snippet of the documentation prints an answer and its tokens", async () => {
  const printed = await snippet("ai-sdk.mjs");
  assert.match(printed, /\S[^]*\n\d+ tokens\n$/);
});

test("a stream is the whole answer, and says what it took though nobody asked", async () => {
  const whole = await generateText({ ...settings, prompt: "Why is the sky blue?" });
  const streamed = streamText({ ...settings, prompt: "Why is the sky blue?" });
  let text = "";
  for await (const piece of streamed.textStream) text += piece;
  assert.equal(text, whole.text);
  assert.equal(await streamed.finishReason, "length");
  const { inputTokens, outputTokens, totalTokens } = await streamed.usage;
  assert.deepEqual([inputTokens, outputTokens, totalTokens], [whole.usage.inputTokens, 24, whole.usage.inputTokens + 24]);
});

test("a tool is called with arguments that fit, streamed or not", async () => {
  const seen = [];
  const execute = (given) => {
    seen.push(Weather.parse(given));
    return "21 degrees";
  };
  const weather = tool({ description: "The weather of a city", inputSchema: Weather, execute });
  const fields = { ...settings, maxOutputTokens: 80, tools: { weather }, toolChoice: { type: "tool", toolName: "weather" }, stopWhen: stepCountIs(1), prompt: "What is the weather in Paris?", providerOptions: { inferium: { parallel_tool_calls: false } } };
  const { toolCalls, finishReason } = await generateText(fields);
  const streamed = streamText(fields);
  await streamed.consumeStream();
  assert.equal(finishReason, "tool-calls");
  assert.deepEqual((await streamed.toolCalls).map((call) => call.input), toolCalls.map((call) => call.input));
  assert.equal(seen.length, 2);
});

test("objects have the form that was asked for, whole and in pieces", async () => {
  const fields = { ...settings, maxOutputTokens: 200, schema: Person, prompt: "Ann is 41 years old. Who is it?" };
  const { object } = await generateObject(fields);
  Person.parse(object);
  const streamed = streamObject(fields);
  const partial = [];
  for await (const piece of streamed.partialObjectStream) partial.push(piece);
  assert.deepEqual(await streamed.object, object);
  assert.deepEqual(partial.at(-1), object);
});

test("texts become vectors", async () => {
  const { embeddings, usage } = await embedMany({ model: inferium.embeddingModel(EMBEDDER), values: ["sky", "sea", "sky"] });
  assert.deepEqual(embeddings[0], embeddings[2]);
  assert.notDeepEqual(embeddings[0], embeddings[1]);
  assert.equal(embeddings[0].length, 384);
  assert.ok(usage.tokens > 3);
});

test("an error is the gateway's, in its words", async () => {
  await assert.rejects(generateText({ ...settings, model: inferium("gpt-9"), prompt: "hi" }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.deepEqual([error.statusCode, error.isRetryable, error.data.error.code, error.data.error.param], [404, false, "model_not_found", "model"]);
    assert.match(error.message, /gpt-9.*does not exist here/);
    return true;
  });
});
