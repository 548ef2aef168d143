"""The chain as a client of the anthropic SDK's shape, as agent frameworks use one; on both engines."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sites.direct_site import PROMPT, Caller, calling
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, SONNET, one_test

_ASKED: dict[str, Any] = {"max_tokens": 100, "messages": [{"role": "user", "content": PROMPT}]}
_TOOL = {"name": "look_up", "description": "Looks a harbour up.", "input_schema": {"type": "object"}}
_USE = """
[[rules]]
times = 1
answer = 'tool_use'
text = 'I look it up.'
tool = 'look_up'
tool_input = {harbour = 'Rotterdam', depth_m = 24}
"""


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Run one script for all tests of this file."""
    with calling(request, tmp_path_factory.mktemp("client")) as caller:
        yield caller


@pytest.fixture
def caller(whole: Caller) -> Iterator[Caller]:
    """Lend it to one test."""
    with one_test(whole.plant):
        yield whole


def _created(caller: Caller, *, model: str = OPUS, client: Any = None, **request: Any) -> tuple[Any, Any]:
    return caller.do("create", client=client or {}, model=model, **{**_ASKED, **request})


def test_a_message_is_the_sdks_with_what_the_chain_made_of_the_call(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    got, purchases = _created(caller, system="Be brief.", temperature=0.2)
    message, attempts = got["message"], caller.attempts(purchases)
    assert got["is_message"]
    assert (message["model"], message["role"], message["type"], message["stop_reason"]) == (
        SONNET,
        "assistant",
        "message",
        "end_turn",
    )
    assert message["id"] == attempts[1]["message_id"]
    assert message["content"][0]["type"] == "text"
    assert message["content"][0]["text"]
    assert message["usage"]["output_tokens"] == attempts[1]["output_tokens"]
    assert (got["fallback_depth"], got["job_id"]) == (1, purchases[0]["job"])
    assert got["cost_usd"] == str(attempts[1]["cost_nano_usd"])
    assert [purchase["version"] for purchase in purchases] == [
        "2026-10-21",
        "2023-06-01",
    ]  # opus is sent no temperature
    assert caller.job(purchases)["params"]["system"] == "Be brief."


def test_a_temperature_is_answered_on_every_rung(caller: Caller) -> None:
    for model, version in ((OPUS, "2026-10-21"), (SONNET, "2023-06-01"), (HAIKU, "2023-06-01")):
        got, purchases = _created(caller, model=model, temperature=0.2)
        assert got["message"]["model"] == model
        (attempt,) = caller.attempts(purchases)
        assert [(purchase["status"], purchase["version"]) for purchase in purchases] == [(200, version)]
        assert ("version 2023-06-01" in attempt["note"]) is (version == "2023-06-01")


def test_a_document_of_the_assistant_is_answered_on_every_rung(caller: Caller) -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A map."}}
    turns = [{"role": "user", "content": "Draw."}, {"role": "assistant", "content": [document]}]
    for model in (OPUS, SONNET):
        got, purchases = _created(caller, model=model, messages=[*turns, {"role": "user", "content": "Explain it."}])
        assert got["message"]["model"] == model
        assert [(purchase["status"], purchase["version"]) for purchase in purchases] == [(200, "2023-06-01")]


def test_a_raw_response_tells_in_its_headers_what_the_chain_made_of_the_call(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    got, purchases = caller.do("raw", client={}, model=OPUS, **_ASKED)
    assert got["headers"] == {
        "x-stepdown-job": got["job_id"],
        "x-stepdown-fallback-depth": "1",
        "x-stepdown-cost-usd": f"{caller.attempts(purchases)[1]['cost_nano_usd']:f}",
    }
    assert got["text"]
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 'cut'")
    unknown, _ = caller.do("raw", client={}, model=OPUS, **_ASKED)
    assert unknown["headers"].keys() == {"x-stepdown-job", "x-stepdown-fallback-depth"}


@pytest.mark.parametrize(
    ("model", "task", "answered_by"),
    [
        (SONNET, None, SONNET),
        ("claude-haiku-4-5", None, HAIKU),
        (SONNET, "summarize", SONNET),
        ("claude-from-elsewhere", "summarize", HAIKU),
    ],
)
def test_the_model_is_where_the_chain_begins_else_the_clients_task(
    caller: Caller, model: str, task: str | None, answered_by: str
) -> None:
    got, _ = _created(caller, model=model, client={"task": task})
    assert (got["message"]["model"], got["fallback_depth"]) == (answered_by, 0)


def test_an_agents_round_with_a_tool_goes_through_with_the_sdks_own_blocks(caller: Caller) -> None:
    caller.plant.simulator.set_script(_USE)
    got, purchases = caller.do("loop", client={"parent": "run-loop"}, tools=[_TOOL], content=PROMPT)
    spoken, use = got["first"]["content"]
    assert (got["first"]["stop_reason"], spoken["text"]) == ("tool_use", "I look it up.")
    assert (use["type"], use["name"], use["input"]) == ("tool_use", "look_up", {"harbour": "Rotterdam", "depth_m": 24})
    assert got["second"]
    assert [purchase["job"] for purchase in purchases] == got["jobs"]
    sent = caller.job(purchases[1:])["params"]["messages"]
    plain = {name: use[name] for name in ("type", "id", "name", "input")}
    assert sent[1] == {"role": "assistant", "content": [{"type": "text", "text": "I look it up."}, plain]}
    assert [caller.job([purchase])["call_depth"] for purchase in purchases] == [1, 1], "two rounds of one agent"


def test_a_sub_agents_client_asks_one_deeper(caller: Caller) -> None:
    first, _ = _created(caller, client={"task": "plan", "parent": "run-child"})
    second, purchases = _created(caller, client={"task": "plan"}, below=first["job_id"])
    job = caller.job(purchases)
    assert (job["parent"], job["tree"], job["call_depth"], job["task"]) == (first["job_id"], "run-child", 2, "plan")
    assert second["job_id"] == job["id"]


def test_sixteen_threads_share_one_client_and_each_gets_its_own_answers(caller: Caller) -> None:
    words = [f"Harbour {number} of the northern coast was dredged in spring." for number in range(64)]
    got, purchases = caller.do("agents", client={"parent": "run-16"}, model=HAIKU, threads=16, words=words)
    assert [reported.get("error") for reported in got["all"]] == [None] * 64
    assert all(text.endswith(reported["word"]) for reported in got["all"] for text in reported["texts"])
    jobs = [job for reported in got["all"] for job in reported["jobs"]]
    assert sorted(jobs) == sorted({purchase["job"] for purchase in purchases})
    reports = caller.plant.producer.store.reports
    depths = [[reports.job(job)["call_depth"] for job in reported["jobs"]] for reported in got["all"]]
    parents = [reports.job(reported["jobs"][1])["parent"] == reported["jobs"][0] for reported in got["all"]]
    assert (depths, all(parents)) == ([[1, 2]] * 64, True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stream": True}, "stream: an answer comes back whole: leave it out"),
        ({"extra_body": {"stream": True}}, "stream: an answer comes back whole: leave it out"),
        ({"extra_body": {"model": "claude-opus-4-8"}}, "extra_body: the chain chooses the model"),
        ({"extra_body": "more"}, "params: cannot be sent as JSON"),
        ({"extra_headers": {"x-mine": "1"}}, "extra_headers: headers: 'x-mine' cannot be sent through the chain"),
        ({"max_tokens": -1}, "max_tokens: -1 should be a whole number, 0 or more"),
        ({"messages": []}, "messages: holds no message"),
        ({"messages": "Hi"}, "messages: should be a list of messages"),
        ({"system": "half \ud800"}, "params: cannot be sent as JSON"),
        ({"client": {"parent": ""}}, "parent: '' should be text"),
        ({"model": "claude-2"}, f"model: 'claude-2' is not in MODEL_CHAIN ({OPUS}, {SONNET}, {HAIKU})"),
        ({"model": "claude-2", "client": {"task": "plan"}}, "model: 'claude-2' is not in MODEL_CHAIN"),
    ],
)
def test_what_cannot_be_asked_so_is_refused_with_the_field(caller: Caller, wrong: Any, message: str) -> None:
    got, purchases = _created(caller, **wrong)
    assert (got["error"], purchases) == ("InputError", [])
    assert f"messages.create: {message}" in got["message"]


def test_what_no_model_answers_is_told_as_ever(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nanswer = 'refusal'")
    got, purchases = _created(caller)
    assert (got["error"], len(purchases)) == ("ChainExhaustedError", 1)
    assert "refused: refusal; change the prompt" in got["message"]
    assert f"(job {purchases[0]['job']})" in got["message"]
