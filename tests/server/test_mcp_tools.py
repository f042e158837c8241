"""Tools for agents, with the SDK's own client: over HTTP on a real socket, and over the pipes of a real process."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from mcp import Client, MCPError, StdioServerParameters

from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import why_not
from recommender.model.checkpoint import Checkpoint, from_pretrained, save_pretrained
from tests.copies import begin_command
from tests.saved import saved
from tests.server.http_server import RANK, Held, Server, running

TOOLS = {"recommend", "explain", "why_not", "similar", "search", "fetch", "feedback"}


def session(server, work):
    """Return what `work` finds with a client of a server."""

    async def connected():
        async with Client(f"{server.url}/mcp") as client:
            try:
                return await work(client)
            except MCPError as error:  # out of the client it would come as a group
                return error

    return asyncio.run(connected())


def called(server, tool, **arguments):
    """Return the structured answer of a tool; its text if it is an error."""
    result = session(server, lambda client: client.call_tool(tool, arguments))
    if result.is_error:
        assert len(result.content) == 1 and "\n" not in result.content[0].text
        return result.content[0].text
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


def test_the_tools_say_what_they_take_and_give(embedded_server):
    tools = session(embedded_server, lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.description and tool.output_schema["type"] == "object"
        assert tool.annotations.read_only_hint == (tool.name != "feedback")
    recommend = next(tool for tool in tools if tool.name == "recommend")
    assert set(recommend.input_schema["properties"]) >= {
        "history",
        "k",
        "query",
        "filters",
        "exclude",
        "without",
        "explain",
    }


def test_answers_are_the_engines(embedded_server, embedded):
    listed = called(
        embedded_server, "recommend", history=["103", 107], k=4, without=["image"], filters={"genres": "comedy"}
    )
    request = Request(history=["103", "107"], k=4, explain=False, without=["image"], filters={"genres": "comedy"})
    expected = embedded.answer(request)
    assert [i["item_id"] for i in listed["items"]] == [i.item_id for i in expected.items]
    assert listed["notes"] == list(expected.notes) and listed["items"][0]["justification"] is None
    told = called(embedded_server, "recommend", history=["103"], k=2, explain=True)
    assert all(item["justification"] and item["written_by"] in ("model", "plain") for item in told["items"])
    assert listed["generated"] is told["generated"] is True
    answer = called(
        embedded_server, "why_not", item_id="111", history=["103", "107"], k=4, filters={"genres": ["comedy"]}
    )
    full = why_not(embedded, request.model_copy(update={"without": ()}), "111")
    assert answer["text"] == full["text"] and answer["rank"] == full["rank"] and "filter" not in answer["changes"]
    why = called(embedded_server, "explain", item_id=110, history=["103", "107"])
    assert why["justification"] and why["generated"] is True and why["written_by"] in ("model", "plain")
    assert answer["generated"] is True and set(why["contributions"]) == set(embedded.model.modalities)
    similar = called(embedded_server, "similar", item_id="110", k=3)["items"]
    others = embedded.similar_items(embedded.catalogue.index("110"), 3)
    assert [i["item_id"] for i in similar] == [embedded.catalogue[i].item_id for i in others]


def test_search_and_fetch_have_the_shapes_of_connectors(embedded_server):
    found = called(embedded_server, "search", query="yelow rivr")["results"]
    assert found == [{"id": "115", "title": "The yellow river", "url": f"{embedded_server.url}/v1/items/115"}]
    item = called(embedded_server, "fetch", id="115")
    assert set(item) == {"id", "title", "text", "url", "metadata"} and item["url"] == found[0]["url"]
    assert item["metadata"]["genres"] == ["drama"] and "yellow river" in item["text"]
    assert json.loads(embedded_server.get("/v1/items/115")[2])["title"] == item["title"]


def test_items_are_resources(embedded_server):
    templates = session(embedded_server, lambda client: client.list_resource_templates()).resource_templates
    assert {template.uri_template for template in templates} == {"item://{item_id}", "item://{item_id}/image"}
    read = session(embedded_server, lambda client: client.read_resource("item://115"))
    assert json.loads(read.contents[0].text)["title"] == "The yellow river"
    for uri in ("item://nobody", "item://115/image", "item://..%2F..%2Fetc%2Fpasswd", "item://%00"):
        refused = session(embedded_server, lambda client, uri=uri: client.read_resource(uri))
        assert isinstance(refused, MCPError) and "\n" not in str(refused) and "/tmp" not in str(refused)


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("recommend", {"history": ["nobody"]}, "unknown item id 'nobody'"),
        ("recommend", {"k": 10**9}, "k"),
        ("recommend", {"k": "many"}, "k"),
        ("recommend", {"history": "103"}, "history"),
        ("recommend", {"without": ["knowledge"]}, "knowledge cannot be switched off"),
        ("recommend", {"without": ["pictures"]}, "without"),
        ("recommend", {"history": ["x" * 5000]}, "longer than"),
        ("recommend", {"history": ["103"] * 10_001}, "10,000"),
        ("recommend", {"filters": {"genres": "western"}}, "no item has 'western'"),
        ("search", {"query": "x" * 1_000_000}, "longer than 200"),
        ("fetch", {"id": "../../etc/passwd"}, "there is no item"),
        ("explain", {"item_id": "a\x00b"}, "there is no item"),
        ("why_not", {}, "item_id"),
        ("feedback", {"item_id": "110", "opinion": "splendid"}, "opinion"),
        ("feedback", {"item_id": "110", "opinion": "helpful"}, "keeps no feedback"),
    ],
)
def test_an_error_is_one_line_for_the_agent(embedded_server, tool, arguments, told):
    answer = called(embedded_server, tool, **arguments)
    assert isinstance(answer, str) and told in answer and len(answer) < 1500


def test_an_agent_finds_asks_why_not_and_leaves_feedback(embedded, tmp_path):
    async def agent(client):
        async def use(tool, **arguments):
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
            return result.structured_content

        known = [found["id"] for found in (await use("search", query="red night"))["results"]]
        listed = (await use("recommend", history=known, k=3, user="ann"))["items"]
        missing = (await use("search", query="green stone"))["results"][0]["id"]
        answer = await use("why_not", item_id=missing, history=known, k=1)
        kept = await use("feedback", item_id=listed[0]["item_id"], opinion="not for me", user="ann")
        assert kept["user"] == "ann"
        again = (await use("recommend", history=known, k=3, user="ann"))["items"]
        return known, listed, answer, again

    try:
        with running(embedded, feedback=str(tmp_path / "feedback.jsonl")) as server:
            known, listed, answer, again = session(server, agent)
            wrong = called(server, "feedback", item_id="110", opinion="wrong", facts=[["genres", "comedy"]], user="bob")
            assert wrong["user"] == "bob" and wrong["facts"] == [["genres", "comedy"]]
        assert "caller" in (tmp_path / "feedback.jsonl").read_text()  # that something is wrong is the caller's vote
    finally:
        embedded.feedback_policy.store = None
    assert known and answer["text"] and (answer["listed"] or answer["rank"] > 1)
    assert listed[0]["item_id"] not in {item["item_id"] for item in again}


def test_strangers_pages_and_hosts_are_refused_as_on_all_routes(embedded_server):
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert embedded_server.post("/mcp", message, Host="evil.example")[0] == 400
    assert embedded_server.post("/mcp", message, Origin="https://evil.example")[0] == 403
    assert 400 <= embedded_server.post("/mcp", message, content_type="text/plain")[0] < 500
    with suppress(OSError):  # the server does not read such a body to its end
        assert embedded_server.post("/mcp", b"x" * 5_000_000)[0] == 413
    assert 400 <= embedded_server.post("/mcp", b"{")[0] < 500
    assert 400 <= embedded_server.get("/mcp")[0] < 500


def test_the_queue_is_that_of_all_routes_and_who_leaves_leaves_it(embedded):
    held = Held(embedded)
    server = Server(held, waiting=1)
    try:

        async def scenario():
            async def ask():
                async with Client(f"{server.url}/mcp") as client:
                    return await client.call_tool("recommend", {"history": ["103"], "k": 2})

            first = asyncio.create_task(ask())
            while not held.group_sizes:
                await asyncio.sleep(0.02)
            second = asyncio.create_task(ask())
            while server.metric("recommender_waiting") < 1:
                await asyncio.sleep(0.05)
            third = await ask()
            assert third.is_error and "busy" in third.content[0].text
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            for _ in range(5):
                held.places.release()
            assert not (await first).is_error

        asyncio.run(scenario())
        held.places.release()
        assert json.loads(server.post(RANK, {"k": 1})[2])["items"]
        assert held.group_sizes == [1, 1]  # who left was not ranked for
    finally:
        server.close()


def test_without_the_sdk_the_route_says_what_to_install(embedded, monkeypatch):
    monkeypatch.setattr("recommender.server.mcp_transports.find_spec", lambda name: None)
    with running(embedded) as server:
        status, _, text = server.post("/mcp", {})
        assert status == 404 and "recommender[mcp]" in json.loads(text)["error"]["message"]


@pytest.fixture(scope="module")
def folder(embedded, tmp_path_factory):
    checkpoint = Checkpoint(embedded.model, embedded.tokenizer, embedded.catalogue, embedded.config)
    return saved(checkpoint, tmp_path_factory.mktemp("mcp"))


def test_over_pipes_an_agent_has_the_same_tools(folder, embedded):
    arguments = ["-m", "recommender", "mcp", str(folder / "model"), "--items", str(folder / "items.jsonl")]
    arguments += ["--feedback", str(folder / "feedback.jsonl")]
    server = StdioServerParameters(command=sys.executable, args=arguments)

    async def agent():
        async with Client(server, read_timeout_seconds=120) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            found = (await client.call_tool("search", {"query": "yellow river"})).structured_content["results"]
            listed = await client.call_tool("recommend", {"history": ["103", "107"], "k": 4})
            why = await client.call_tool("why_not", {"item_id": "111", "history": ["103"], "k": 2})
            kept = await client.call_tool(
                "feedback", {"item_id": "111", "opinion": "wrong", "facts": [["year", "1980"]]}
            )
            error = await client.call_tool("fetch", {"id": "nobody"})
            item = await client.read_resource("item://115")
            return found, listed.structured_content, why.structured_content, kept, error, item

    found, listed, why, kept, error, item = asyncio.run(agent())
    assert found == [{"id": "115", "title": "The yellow river", "url": "item://115"}]
    expected = embedded.recommend(["103", "107"], k=4, explain=False)
    assert [i["item_id"] for i in listed["items"]] == [i.item_id for i in expected] and why["text"]
    assert not kept.is_error and "caller stdio" in (folder / "feedback.jsonl").read_text()
    assert error.is_error and error.content[0].text.endswith("there is no item 'nobody'")
    assert json.loads(item.contents[0].text)["item_id"] == "115"


@pytest.mark.slow
def test_over_pipes_a_session_goes_on_with_a_new_version(folder, embedded, tmp_path):
    shutil.copytree(folder, tmp_path / "served")
    model, items = tmp_path / "served" / "model", tmp_path / "served" / "items.jsonl"
    arguments = ["-m", "recommender", "mcp", str(model), "--items", str(items), "--set", "reload_seconds=0.2"]
    server = StdioServerParameters(command=sys.executable, args=arguments)

    def replace(manifest):
        """Put another version in place: one whose manifest tells nothing, or one whose rows are turned around."""
        if manifest is not None:
            (model / "checkpoint.json").write_text(manifest)
            return
        checkpoint = from_pretrained(folder / "model", str(items))
        checkpoint.model.rows.data = -checkpoint.model.rows.data
        save_pretrained(checkpoint, model)

    async def agent():
        async with Client(server, read_timeout_seconds=120) as client:

            async def ask():
                told = await client.call_tool("recommend", {"history": ["103"], "k": 4})
                assert not told.is_error, told
                return [item["item_id"] for item in told.structured_content["items"]]

            before = await ask()
            await asyncio.to_thread(replace, "{}")
            await asyncio.sleep(1)
            assert await ask() == before, "one that cannot be opened changes nothing"
            await asyncio.to_thread(replace, None)
            after, end = before, time.monotonic() + 120
            while after == before and time.monotonic() < end:
                after = await ask()
                await asyncio.sleep(0.1)
            return before, after, (await client.list_tools()).tools

    before, after, tools = asyncio.run(agent())
    assert before == [item.item_id for item in embedded.recommend(["103"], k=4, explain=False)]
    expected = Recommender.from_pretrained(model, str(items)).recommend(["103"], k=4, explain=False)
    assert after == [item.item_id for item in expected] != before and {tool.name for tool in tools} == TOOLS


def test_the_program_ends_when_the_agent_leaves_and_writes_nothing_but_the_protocol(folder, tmp_path):
    first = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    first["params"] = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    asked["params"] = {"name": "recommend", "arguments": {"history": ["103"], "k": 2, "explain": True}}
    lines = [first, {"jsonrpc": "2.0", "method": "notifications/initialized"}, asked]
    (heard, asks), (answers, said), errors = os.pipe(), os.pipe(), tmp_path / "errors"
    with errors.open("w") as log:
        command = ["mcp", folder / "model", "--items", folder / "items.jsonl"]
        process = begin_command(*command, streams=(heard, said, log.fileno()), closed=(asks, answers))
    for end in (heard, said):
        os.close(end)
    with open(answers) as reader:
        with open(asks, "w") as agent:
            agent.write("not JSON\n" + "".join(f"{json.dumps(line)}\n" for line in lines))
            agent.flush()
            read = [json.loads(reader.readline())]
            while read[-1].get("id") != 2:
                read.append(json.loads(reader.readline()))
        rest = reader.read()  # its input is closed: the agent has left
    process.join(60)
    assert all(message["jsonrpc"] == "2.0" for message in read) and rest == ""
    assert read[-1]["result"]["structuredContent"]["items"][0]["justification"]
    assert process.exitcode == 0 and "Traceback" not in errors.read_text()


def test_a_model_that_is_not_there_is_one_line():
    done = subprocess.run([sys.executable, "-m", "recommender", "mcp", "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and "nowhere" in done.stderr and "Traceback" not in done.stderr
