# Multiple choice by log-likelihoods. The tokenizer is the server's: no hub, no transformers.
lm_eval run --model local-completions \
  --model_args model=smollm2-135m-instruct,base_url=$OPENAI_BASE_URL/completions,tokenizer_backend=remote,auth_token=$OPENAI_API_KEY,num_concurrent=4 \
  --tasks inferium_choice --include_path tests/clients/tasks --log_samples --output_path target/clients/results/choice

# Answers that are generated, in a chat.
lm_eval run --model local-chat-completions \
  --model_args model=smollm2-135m-instruct,base_url=$OPENAI_BASE_URL/chat/completions,num_concurrent=4 \
  --tasks inferium_generate --include_path tests/clients/tasks --apply_chat_template --log_samples --output_path target/clients/results/generate
