# No schema says that `tool_choice` must name one of `tools`: what fits a schema may still be refused.
schemathesis run "${OPENAI_BASE_URL%/v1}/openapi.json" --header "Authorization: Bearer $OPENAI_API_KEY" \
  --seed 1 --max-examples 12 --phases examples,coverage,fuzzing --exclude-checks positive_data_acceptance --request-timeout 120
