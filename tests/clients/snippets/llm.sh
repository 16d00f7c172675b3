cat > "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<YAML
- model_id: inferium
  model_name: smollm2-135m-instruct
  api_base: $OPENAI_BASE_URL
  api_key_name: inferium
  supports_tools: true
  supports_schema: true
YAML
llm keys set inferium --value "$OPENAI_API_KEY"
llm --model inferium "Why is the sky blue?" --option max_tokens 48
