import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const inferium = createOpenAICompatible({
  name: "inferium",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  supportsStructuredOutputs: true,
});
const { textStream, usage } = streamText({ model: inferium("smollm2-135m-instruct"), prompt: "Why is the sky blue?", maxOutputTokens: 48 });
for await (const piece of textStream) process.stdout.write(piece);
console.log(`\n${(await usage).outputTokens} tokens`);
