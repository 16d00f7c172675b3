import os

import litellm

answer = litellm.completion(
    model="openai/smollm2-135m-instruct",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
    max_tokens=48,
)
print(answer.choices[0].message.content)
