import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

server = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
chat = ChatOpenAI(model="smollm2-135m-instruct", max_tokens=48, **server)
print(chat.invoke("Why is the sky blue?").content)

# Without the check LangChain sends texts as they are; with it, tokens of another vocabulary.
vectors = OpenAIEmbeddings(model="all-minilm-l6-v2", check_embedding_ctx_length=False, **server)
print(len(vectors.embed_query("sky")), "values")
