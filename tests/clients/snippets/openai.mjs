import OpenAI from "openai";

const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY, as `inferium up` prints them
const answer = await client.chat.completions.create({
  model: "smollm2-135m-instruct",
  messages: [{ role: "user", content: "Why is the sky blue?" }],
  max_tokens: 48,
});
console.log(answer.choices[0].message.content);
console.log(answer.inferium.receipt_url);
