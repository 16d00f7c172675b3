# The project's own suites: stock lm-eval and `inferium eval run` come to the same scores, item by item.
lm_eval run --model local-completions \
  --model_args model=smollm2-135m-instruct,base_url=$OPENAI_BASE_URL/completions,tokenizer_backend=remote,auth_token=$OPENAI_API_KEY,num_concurrent=4 \
  --tasks inferium_everyday --include_path suites --log_samples --output_path target/clients/results/everyday
lm_eval run --model local-chat-completions \
  --model_args model=smollm2-135m-instruct,base_url=$OPENAI_BASE_URL/chat/completions,num_concurrent=4 \
  --tasks inferium_arithmetic --include_path suites --apply_chat_template --log_samples --output_path target/clients/results/arithmetic
