"""`stepdown mcp` as its clients meet it: a real worker, the simulator, and the SDK's own client."""

import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from producer.mcp.server import server_of
from tests.support.eventually import eventually
from tests.support.sites.command_line import stranger_in
from tests.support.sites.mcp_client import Speaker, over_http, over_stdio, speaking, text_of
from tests.support.sites.worker_site import (
    ENGINES,
    HAIKU,
    OPUS,
    ROOT,
    SONNET,
    Plant,
    one_test,
    running_plant,
    settings_of,
)

SLOW = '[[rules]]\nprompt_contains = "slowly"\nanswer = "slow"\ndelay_s = 4'
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"


@pytest.fixture(scope="module", params=ENGINES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run a worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("mcp"), MCP_MAX_COST_USD="0.5") as plant:
        yield plant


@pytest.fixture(scope="module")
def address(running: Plant) -> Iterator[str]:
    """Run `stepdown mcp --http` for all tests of this file."""
    with over_http(stranger_in(running.worker_log.parent, **running.variables)) as address:
        yield address


@pytest.fixture
def plant(running: Plant) -> Iterator[Plant]:
    """Lend the plant to one test."""
    with one_test(running) as plant:
        yield plant


@pytest.fixture(scope="module")
def session(address: str) -> Iterator[Speaker]:
    """Hold one session over HTTP."""
    with speaking(address) as speaker:
        yield speaker


@pytest.fixture
def model(session: Speaker, plant: Plant) -> Speaker:  # noqa: ARG001 - lent for the test's time
    """Speak to it over HTTP."""
    return session


def test_over_stdio_a_batch_is_estimated_submitted_waited_for_and_read(plant: Plant) -> None:
    with speaking(over_stdio(plant.variables, plant.worker_log.parent)) as model:
        assert list(model.tools()) == ["ask", "submit", "estimate", "status", "wait", "results", "ledger_query"]
        prompts = ["Summarize: the sea.", {"prompt": "Summarize: the moon.", "id": "moon", "max_tokens": 50}]
        estimate = model.states("estimate", prompts=prompts, task="summarize")
        assert (estimate["prompts"], estimate["starts"]) == (2, {HAIKU: 2})
        assert 0 < Decimal(estimate["low_usd"]) <= Decimal(estimate["expected_usd"]) < Decimal("0.1")
        live, half = (
            [Decimal(lane[name]) for name in ("expected_usd", "worst_case_usd")]
            for lane in (estimate, estimate["half_price"])
        )
        assert [usd * 2 for usd in half] == pytest.approx(live)
        kept = model.states("submit", prompts=prompts, task="summarize", name="over stdio", max_cost_usd="0.4")
        assert (kept["is_new"], kept["jobs"], kept["not_sent"]) == (True, 2, None)
        where = model.states("wait", batch=kept["batch"], up_to_s=40)
        assert (where["is_settled"], where["states"], where["unknown_costs"]) == (True, {"succeeded": 2}, 0)
        page = model.states("results", batch="over stdio")
        assert [(one["id"], one["state"], one["model"]) for one in page["answers"]] == [
            ("1", "succeeded", HAIKU),
            ("moon", "succeeded", HAIKU),
        ]
        assert sum(Decimal(one["cost_usd"]) for one in page["answers"]) == Decimal(where["cost_usd"]) > 0


def test_on_stdio_nothing_but_the_protocol_is_written(plant: Plant) -> None:
    hello = (
        '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",'
        ' "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}}}\n'
        '{"jsonrpc": "2.0", "method": "notifications/initialized"}\n'
        "nonsense\n"
        '{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "ls", "arguments": {}}}\n'
    )
    me = stranger_in(plant.worker_log.parent, **plant.variables)
    response = me.types("mcp", stdin=hello)
    assert response.out
    assert all(line.startswith('{"jsonrpc":"2.0",') for line in response.out.splitlines())
    assert '"id":1' in response.out


def test_one_prompt_is_asked_ahead_of_all_bulk_and_its_answer_comes_back(model: Speaker, plant: Plant) -> None:
    asked = model.states("ask", prompt="Why is the sea salt?", max_tokens=60, max_cost_usd=0.25)
    answer = asked["answer"]
    assert (answer["state"], answer["model"], answer["fallback_depth"], answer["error"]) == ("succeeded", OPUS, 0, None)
    assert answer["text"]
    assert answer["cost_usd"] == asked["cost_usd"]
    (job,) = plant.jobs(plant.producer.batch(asked["batch"]))
    assert (job["id"], job["is_urgent"], job["params"]["max_tokens"]) == (answer["job"], True, 60)
    assert plant.producer.store.reports.batch(asked["batch"])["tags"] == {"via": "mcp"}
    assert plant.producer.batch(asked["batch"]).progress().cap_usd == Decimal("0.25")


def test_a_fallback_is_told_with_the_answer(model: Speaker, plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nmodel = "opus"\nanswer = 529')
    asked = model.states("ask", prompt="Why is the sky blue?", max_cost_usd="0.25")
    assert (asked["answer"]["model"], asked["answer"]["fallback_depth"]) == (SONNET, 1)
    assert "  succeeded  sonnet-4-6 (fallback depth 1)  $" in model.words("results", batch=asked["batch"])


def test_an_answer_that_takes_longer_goes_on_and_is_waited_for(model: Speaker, plant: Plant) -> None:
    plant.simulator.set_script(SLOW)
    impatient = server_of(plant.producer, settings_of(plant.variables), ask_s=0.2)
    with speaking(impatient) as other:
        result = other.result("ask", prompt="slowly", max_cost_usd="0.25")
    asked = result.structured_content
    assert (asked["answer"]["state"], asked["answer"]["text"]) == ("running", None)
    assert text_of(result).splitlines()[-1] == f"it goes on: wait for batch {asked['batch']}, then read its results"
    assert model.states("wait", batch=asked["batch"])["states"] == {"succeeded": 1}


def test_what_no_model_can_answer_is_told_and_is_no_error_of_the_tool(model: Speaker, plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "nonsense"\nanswer = 400')
    answer = model.states("ask", prompt="nonsense", max_cost_usd="0.25")["answer"]
    assert (answer["state"], answer["outcome"], answer["text"]) == ("failed", "bad_request", None)
    assert answer["error"]


def test_the_cap_of_a_call_is_enforced_and_what_it_stops_is_told(model: Speaker, plant: Plant) -> None:
    bought = len(plant.simulator.purchases())
    kept = model.states("submit", prompts=["Summarize: a harbour.", "Summarize: a bridge."], max_cost_usd="0.0001")
    where = model.states("wait", batch=kept["batch"], up_to_s=40)
    assert (where["states"], where["over_budget"], where["max_cost_usd"]) == ({"failed": 2}, 2, "0.000100000")
    assert "2 jobs are over budget" in model.words("status", batch=kept["batch"])
    assert len(plant.simulator.purchases()) == bought


def test_the_tools_say_what_a_call_may_spend_and_that_it_must_be_said(model: Speaker) -> None:
    tools = model.tools()
    for name in ("ask", "submit"):
        assert "max_cost_usd is required, at most 0.5 for one call (MCP_MAX_COST_USD)" in str(tools[name].description)
        assert "max_cost_usd" in tools[name].input_schema["required"]
    reading = [name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint]
    assert reading == ["estimate", "status", "wait", "results", "ledger_query"]
    assert all(tool.output_schema and tool.input_schema["additionalProperties"] is False for tool in tools.values())


def test_a_wait_comes_back_in_time_with_where_the_batch_is(model: Speaker, plant: Plant) -> None:
    plant.simulator.set_script(SLOW)
    kept = model.states("submit", prompts=["quickly", "slowly"], task="summarize", max_cost_usd="0.4")
    eventually(
        lambda: model.states("wait", batch=kept["batch"], up_to_s=0.2)["states"].get("succeeded"),
        within_s=20,
        because="the quick one ends",
    )
    where = model.states("wait", batch=kept["batch"], up_to_s=0)
    assert (where["is_settled"], where["states"]["succeeded"], where["states"]["running"]) == (False, 1, 1)
    page = model.states("results", batch=kept["batch"])
    assert (page["is_settled"], [one["state"] for one in page["answers"]]) == (False, ["succeeded", "running"])
    logged: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
        logged.append((progress, total))

    text = {"batch": kept["batch"], "up_to_s": 40}
    result = model.portal.call(partial(model.client.call_tool, "wait", text, progress_callback=on_progress))
    assert result.structured_content["states"] == {"succeeded": 2}
    assert (1, 2) in logged


def test_the_same_key_buys_nothing_twice_and_a_client_of_last_year_is_served(address: str, plant: Plant) -> None:
    with speaking(address, mode="legacy") as model:
        _once(model, plant)


def _once(model: Speaker, plant: Plant) -> None:
    message = {"prompts": '["Summarize: a list that comes as text."]', "key": "once", "max_cost_usd": "0.4"}
    first = model.states("submit", **message)
    model.states("wait", batch=first["batch"])
    again = model.states("submit", **message)
    assert (again["batch"], again["is_new"]) == (first["batch"], False)
    assert len(plant.purchases(plant.producer.batch(first["batch"]))) == 1
    assert "key 'mcp/once' was used for batch" in model.refused("submit", **message | {"prompts": ["another"]})


def test_answers_are_read_a_page_at_a_time(model: Speaker, plant: Plant) -> None:
    plant.simulator.set_script(f'[[rules]]\nprompt_contains = "long"\nanswer = "text"\ntext = "{"x" * 60_000}"')
    short = [f"Summarize: part {number}." for number in range(3)]
    prompts = [*short, *({"prompt": f"long {number}", "max_tokens": 20_000} for number in range(2))]
    kept = model.states("submit", prompts=prompts, task="summarize", max_cost_usd="0.4")
    model.states("wait", batch=kept["batch"])
    first = model.states("results", batch=kept["batch"], limit=2)
    assert ([one["id"] for one in first["answers"]], first["next_offset"], first["jobs"]) == (["1", "2"], 2, 5)
    second = model.states("results", batch=kept["batch"], offset=2)
    assert ([one["id"] for one in second["answers"]], second["next_offset"]) == (["3", "4"], 4)
    last = model.states("results", batch=kept["batch"], offset=4)
    assert ([len(one["text"]) for one in last["answers"]], last["next_offset"]) == ([60_000], None)
    assert "no answer is behind offset 5" in model.words("results", batch=kept["batch"], offset=5)


def test_the_ledger_is_asked_and_cannot_be_written(model: Speaker, plant: Plant) -> None:
    asked = model.states("ask", prompt="Summarize: the ledger.", max_cost_usd="0.25")
    sql = f"SELECT job_id, state, 0.5 AS half FROM v_jobs WHERE batch_id = '{asked['batch']}'"  # noqa: S608
    found = model.states("ledger_query", sql=sql)
    assert found["columns"] == ["job_id", "state", "half"]
    assert (found["rows"], found["is_cut"]) == ([[asked["answer"]["job"], "succeeded", "0.5"]], False)
    for attack in ("DELETE FROM jobs", "WITH x AS (SELECT 1) DELETE FROM jobs", "SELECT 1; DELETE FROM jobs"):
        assert model.refused("ledger_query", sql=attack).startswith("sql: ")
    assert plant.jobs(plant.producer.batch(asked["batch"]))


def test_a_query_gives_a_bounded_answer(model: Speaker) -> None:
    wide = "'" + "x" * 60_000 + "'"
    many = f"{NUMBERS} SELECT i FROM n"  # noqa: S608
    found = model.states("ledger_query", sql=many)
    assert (len(found["rows"]), found["is_cut"]) == (200, True)
    assert "these are the first 200 rows" in model.words("ledger_query", sql=many)
    assert len(model.states("ledger_query", sql=f"{NUMBERS} SELECT {wide} FROM n")["rows"]) == 1  # noqa: S608
    one_long = f"{NUMBERS} SELECT i, CASE i WHEN 9 THEN {wide} ELSE 'short' END AS cell FROM n"  # noqa: S608
    words = model.words("ledger_query", sql=one_long)
    assert (len(words) < 100_000, words.splitlines()[:2]) == (True, ['["i", "cell"]', '[1, "short"]'])
    assert "name fewer columns" in model.refused("ledger_query", sql=f"SELECT {wide} AS a, {wide} AS b")


def test_a_tool_of_another_server_asks_and_is_in_the_ledger(plant: Plant) -> None:
    command = (sys.executable, str(ROOT / "tests" / "examples" / "mcp_tool.py"))
    with speaking(over_stdio(plant.variables, ROOT, *command)) as model:
        assert model.words("verdict", review="The harbour was closed.")
    ledger = plant.producer.store.reports
    (batch, *_) = ledger.batches(limit=1)
    assert ledger.batch(batch.batch_id)["tags"] == {"tool": "verdict"}
    (attempt,) = plant.attempts(plant.producer.batch(batch.batch_id))
    assert (attempt["requested_model"], attempt["outcome"], attempt["cost_nano_usd"] > 0) == (HAIKU, "answered", True)
