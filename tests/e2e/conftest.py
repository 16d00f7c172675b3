"""One network for the tests that only use it; others start their own."""

import pytest
from network import Network


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("network") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def client(network):
    import openai

    return openai.OpenAI(base_url=network.base_url, api_key=network.api_key, max_retries=0)
