from openai import OpenAI

client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY, as `inferium up` prints them
answer = client.chat.completions.create(
    model="smollm2-135m-instruct",
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
    max_tokens=48,
)
print(answer.choices[0].message.content)
print(answer.model_extra["inferium"]["receipt_url"])
