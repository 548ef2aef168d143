"""What an MCP client says wrong is refused before anything is kept, with what would be right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from producer.client import Producer
from producer.mcp.server import server_of
from producer.prompt.prompt import Prompt
from tests.support.sites.mcp_client import Speaker, speaking
from tests.support.sites.worker_site import environment_of, settings_of


@pytest.fixture
def producer(sqlite_url: str) -> Iterator[Producer]:
    """Open a ledger in which nothing is."""
    with Producer(settings_of(environment_of({"DATABASE_URL": sqlite_url}))) as producer:
        yield producer


@pytest.fixture
def model(producer: Producer, sqlite_url: str) -> Iterator[Speaker]:
    """Speak to its tools."""
    settings = settings_of(environment_of({"DATABASE_URL": sqlite_url, "MCP_MAX_COST_USD": "0.5"}))
    with speaking(server_of(producer, settings)) as speaker:
        yield speaker


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("ask", {"prompt": "Hi"}, "ask: max_cost_usd: missing; give the most it may cost in USD"),
        (
            "submit",
            {"prompts": ["Hi"], "max_cost_usd": 0.1, "half_price": True, "by": "soon"},
            "submit: by: 'soon' should be a time such as 06:00",
        ),
        ("submit", {"prompts": ["Hi"], "max_cost_usd": 0.1, "half_price": "2"}, "submit: half_price: '2'"),
        ("submit", {"prompts": ["Hi"]}, "submit: max_cost_usd: missing; give the most it may cost in USD"),
        (
            "ask",
            {"prompt": "Hi", "max_cost_usd": 0.51},
            "ask: max_cost_usd: 0.51 is more than one call may spend; give",
        ),
        ("submit", {"prompts": ["Hi"], "max_cost_usd": "99"}, "give at most 0.5 (MCP_MAX_COST_USD)"),
        ("ask", {"prompt": "Hi", "max_cost_usd": 0}, "max_cost_usd: '0' should be USD, such as 2.50: above 0"),
        ("ask", {"prompt": "Hi", "max_cost_usd": True}, "max_cost_usd: 'True' should be USD"),
        ("ask", {"prompt": "Hi", "max_cost_usd": "NaN"}, "max_cost_usd: 'NaN' should be USD"),
        ("ask", {"prompt": "Hi", "max_cost_usd": None}, "max_cost_usd: 'None' should be USD"),
        (
            "ask",
            {"prompt": "Hi", "max_cost": 0.1},
            "max_cost: is no argument here; there are prompt, max_cost_usd, task",
        ),
        ("ask", {"prompt": " ", "max_cost_usd": 0.1}, "prompt 1: prompt: ' ' should be text with at least one visible"),
        (
            "ask",
            {"prompt": 7, "max_cost_usd": 0.1},
            "ask: prompt: 7: input should be a valid string; right is the text",
        ),
        ("ask", {"prompt": "Hi", "max_cost_usd": 0.1, "max_tokens": 0}, "max_tokens: 0: input should be greater"),
        ("submit", {"prompts": [], "max_cost_usd": 0.1}, "right is a list of 1 to 10,000 prompts: texts, or objects"),
        ("submit", {"prompts": [{"text": "Hi"}], "max_cost_usd": 0.1}, "submit: prompts[0].text: 'Hi': extra inputs"),
        (
            "submit",
            {"prompts": [{"prompt": "Hi", "max_tokens": "all"}], "max_cost_usd": 0.1},
            "[0].max_tokens: 'all': ",
        ),
        ("submit", {"prompts": [["Hi"]], "max_cost_usd": 0.1}, "submit: prompts[0]: ['Hi']: input should be"),
        ("submit", {"prompts": "[" * 100_000, "max_cost_usd": 0.1}, "input should be a valid list; right is a list of"),
        ("ask", {"prompt": "Hi", "max_cost_usd": 10**300}, "should be USD, such as 2.50"),
        ("results", {"batch": "x", "offset": 10**30}, "results: offset: 1000"),
        (
            "submit",
            {"prompts": ["Hi", {"prompt": "Ho", "id": "1"}], "max_cost_usd": 0.1},
            "prompt 2: id: '1' was prompt",
        ),
        ("estimate", {"prompts": ["Hi", ""]}, "prompt 2: prompt: '' should be text"),
        ("status", {"batch": "nothing"}, "no batch is called or begins with 'nothing'; `stepdown ls` lists"),
        ("wait", {"batch": ""}, "'' is no batch's name or id"),
        ("wait", {"batch": "x", "up_to_s": 301}, "wait: up_to_s: 301: input should be less than or equal to 300"),
        ("results", {"batch": "x", "limit": 101}, "results: limit: 101: input should be less than or equal to 100"),
        ("ledger_query", {"sql": "SELECT nope FROM v_jobs"}, "sql: "),
        (
            "submit",
            {"prompts": ["Hi"], "max_cost_usd": 0.1, "key": "serve/bob/batch/1"},
            "submit: key: 'serve/bob/batch/1' begins with serve/, which is kept for the callers of stepdown serve",
        ),
        (
            "submit",
            {"prompts": ["Hi"], "max_cost_usd": 0.1, "key": "deleted/1"},
            "submit: key: 'deleted/1' begins with deleted/, which is kept for batches that a caller deleted",
        ),
        (
            "nothing",
            {},
            "mcp: 'nothing' is no tool here; there are ask, submit, estimate, status, wait, results, ledger",
        ),
    ],
)
def test_what_is_said_wrong_is_refused_with_what_would_be_right(
    model: Speaker, producer: Producer, tool: str, arguments: dict[str, Any], message: str
) -> None:
    refused = model.refused(tool, **arguments)
    assert message in refused
    assert "defect" not in refused
    assert producer.store.reports.batches(limit=1) == []


def test_a_key_of_mcp_is_nobody_elses(model: Speaker, producer: Producer) -> None:
    theirs = producer.submit([Prompt("Hi")], key="docs/1")
    message: dict[str, Any] = {"prompts": ["Hi"], "max_cost_usd": "0.1", "key": "docs/1"}
    kept = model.states("submit", **message)
    assert kept["batch"] != theirs.id
    assert (model.states("submit", **message)["batch"], kept["is_new"]) == (kept["batch"], True)
    assert producer.store.reports.batch(kept["batch"])["idempotency_key"] == "mcp/docs/1"


@pytest.mark.parametrize("key", ["null", '["docs"]', '{"a": 1}', "7"])
def test_a_text_that_looks_like_json_stays_a_text(model: Speaker, producer: Producer, key: str) -> None:
    kept = model.states("submit", prompts=["Hi"], max_cost_usd="0.1", key=key, name="null")
    found = producer.store.reports.batch(kept["batch"])
    assert (found["idempotency_key"], found["name"]) == (f"mcp/{key}", "null")


def test_a_model_without_a_price_is_not_asked_since_no_cap_would_hold(sqlite_url: str) -> None:
    settings = settings_of(environment_of({"DATABASE_URL": sqlite_url, "MODEL_CHAIN": "unheard-of", "TASK_STARTS": ""}))
    with Producer(settings) as producer, speaking(server_of(producer, settings)) as model:
        for tool in ("estimate", "submit"):
            message = {"prompts": ["Hi"]} | ({} if tool == "estimate" else {"max_cost_usd": "0.1"})
            assert model.refused(tool, **message) == (
                "no price for unheard-of: the operator sets it by MODEL_COSTS or `stepdown prices set`"
            )


def test_a_ledger_that_is_away_is_told(model: Speaker, producer: Producer, sqlite_url: str) -> None:
    producer.close()
    Path(sqlite_url.removeprefix("sqlite:///")).write_bytes(b"no ledger any more, and longer than a header" * 100)
    for tool, arguments in (("status", {"batch": "x"}), ("submit", {"prompts": ["Hi"], "max_cost_usd": 0.1})):
        assert "file is not a database" in model.refused(tool, **arguments)
    assert "file is not a database" in model.refused("ledger_query", sql="SELECT * FROM v_jobs")
