"""Agents as other software asks them: by MCP with its own SDK, and by A2A 1.0 with its own."""

import asyncio

import httpx
import httpx2
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, SendMessageRequest, TaskState
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from network import Network
from test_runs import DOCUMENTS, publish


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("protocols") / "data", "--engine", "mock", model="mock") as running:
        folder = tmp_path_factory.mktemp("agents")
        publish(running, folder, "plain")
        publish(running, folder, "reader", DOCUMENTS)
        yield running


def headers(network):
    return {"authorization": f"Bearer {network.api_key}"}


def origin(network):
    return network.base_url.removesuffix("/v1")


def test_an_agent_is_a_server_of_tools(network):
    async def ask(arguments):
        url = f"{origin(network)}/mcp/reader"
        async with httpx2.AsyncClient(headers=headers(network), timeout=60) as http:
            async with streamable_http_client(url, http_client=http) as (read, write):
                async with ClientSession(read, write) as session:
                    told = await session.initialize()
                    tools = (await session.list_tools()).tools
                    return told, tools, await session.call_tool("run", arguments)

    told, tools, result = asyncio.run(ask({"task": "What do bees make?", "files": {"a.md": "Bees make honey."}}))
    assert told.server_info.name == "reader" and [tool.name for tool in tools] == ["run"]
    assert not result.is_error and result.content[0].text and result.structured_content["run"]
    assert network.receipt(result.structured_content["inferium"]["job"])[0] == 200
    for arguments in ({}, {"task": "x", "files": {"../a": ""}}, {"task": "x", "more": 1}):
        with pytest.raises(Exception):
            asyncio.run(ask(arguments))


def test_a_server_of_tools_asks_for_a_key_and_an_agent(network):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    more = {"accept": "application/json, text/event-stream"}
    assert httpx.post(f"{origin(network)}/mcp/reader", json=body, headers=more).status_code == 401
    assert httpx.post(f"{origin(network)}/mcp/nobody", json=body, headers={**more, **headers(network)}).status_code == 404


def message(text):
    return Message(message_id="m1", role=Role.ROLE_USER, parts=[Part(text=text)])


def test_an_agent_is_found_and_asked_by_others(network):
    async def ask(streaming):
        async with httpx.AsyncClient(headers=headers(network), timeout=60) as http:
            card = await A2ACardResolver(http, f"{origin(network)}/a2a/plain").get_agent_card()
            client = ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)
            events = [event async for event in client.send_message(SendMessageRequest(message=message("Why?")))]
            return card, events

    for streaming in (False, True):
        card, events = asyncio.run(ask(streaming))
        assert card.name == "plain" and card.supported_interfaces[0].protocol_version == "1.0"
        if streaming:
            assert events[0].task.status.state == TaskState.TASK_STATE_WORKING
            [artifact] = [event.artifact_update for event in events if event.HasField("artifact_update")]
            assert artifact.artifact.parts[0].text
            assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        else:
            [event] = events
            assert event.task.status.state == TaskState.TASK_STATE_COMPLETED
            assert event.task.artifacts[0].parts[0].text


def rpc(network, method, params, agent="plain", **more):
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    answer = httpx.post(
        f"{origin(network)}/a2a/{agent}", json=body, headers={**headers(network), **more}, timeout=60
    )
    return answer.status_code, answer.json()


def test_tasks_are_kept_and_errors_have_their_codes(network):
    sent = {"message": {"messageId": "m", "role": "ROLE_USER", "contextId": "c", "parts": [{"text": "Why?"}]}}
    status, answer = rpc(network, "SendMessage", sent)
    task = answer["result"]["task"]
    assert status == 200 and task["contextId"] == "c" and task["status"]["state"] == "TASK_STATE_COMPLETED"
    kept = rpc(network, "GetTask", {"id": task["id"]})[1]["result"]
    assert kept["artifacts"] == task["artifacts"] and kept["id"] == task["id"]
    cases = [
        ("GetTask", {"id": "0" * 64}, {}, -32001),
        ("CancelTask", {"id": task["id"]}, {}, -32002),
        ("Dance", {}, {}, -32601),
        ("SendMessage", {}, {}, -32602),
        ("SendMessage", {"message": {"parts": [{"data": {}}]}}, {}, -32005),
        ("SendMessage", sent, {"a2a-version": "0.3"}, -32009),
    ]
    for method, params, more, code in cases:
        status, answer = rpc(network, method, params, **more)
        assert (status, answer["id"], answer["error"]["code"]) == (200, 7, code), answer
    assert httpx.post(f"{origin(network)}/a2a/plain", json={}).status_code == 401
    assert rpc(network, "GetTask", {}, agent="nobody")[0] == 404
