"""Items of message batches: the rules of live requests answer them, all but the faults of connections."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from producer.simulator.process import running_simulator
from tests.support.batch_calls import created_id, lines_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.simulator.process import RunningSimulator

_AT_ONCE = "[batches]\ntakes_s = 0\n"


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """Give each test message batches of its own."""
    with running_simulator(script=_AT_ONCE) as running:
        yield running


@pytest.mark.parametrize(
    ("rule", "kind", "expected"),
    [
        ("answer = 400", "errored", {"error.error.type": "invalid_request_error"}),
        ("answer = 529", "errored", {"error.error.type": "overloaded_error"}),
        ("answer = 500", "errored", {"error.error.type": "api_error"}),
        (
            "answer = 'other_model'\nserved_model = 'claude-haiku-4-5'",
            "succeeded",
            {"message.model": "claude-haiku-4-5-20251001"},
        ),
        ("answer = 'pause_turn'", "succeeded", {"message.stop_reason": "pause_turn"}),
        ("answer = 'max_tokens'", "succeeded", {"message.stop_reason": "max_tokens"}),
        ("answer = 'refusal'", "succeeded", {"message.stop_reason": "refusal"}),
        ("answer = 'no_usage'", "succeeded", {"message.usage": None}),
        ("answer = 'ok'\nwithout = ['service_tier']", "succeeded", {"message.usage.service_tier": None}),
        ("answer = 'other_tier'\nservice_tier = 'standard'", "succeeded", {"message.usage.service_tier": "standard"}),
        ("answer = 'ok'\nusage = {service_tier = 'standard'}", "succeeded", {"message.usage.service_tier": "standard"}),
    ],
)
def test_an_item_is_answered_by_the_rules_of_live_requests(
    simulator: RunningSimulator, rule: str, kind: str, expected: dict[str, Any]
) -> None:
    simulator.set_script(f"{_AT_ONCE}[[rules]]\nprompt_contains = '2 bridges'\nlane = 'batch'\n{rule}")
    batch_id = created_id(simulator)
    until(simulator)
    results = {
        each["custom_id"]: each["result"] for each in map(json.loads, filter(None, lines_of(simulator, batch_id)))
    }
    assert [each["type"] for name, each in results.items() if name != "item-2"] == ["succeeded"] * 3
    result = results["item-2"]
    assert result["type"] == kind
    for path, value in expected.items():
        found: Any = result
        for name in path.split("."):
            found = found.get(name)
        assert found == value
    (bought,) = [one for one in simulator.purchases() if one["custom_id"] == "item-2"]
    assert (bought["billed_nano_usd"] > 0) is (kind == "succeeded")


def test_a_line_holds_separators_and_halves_of_characters(simulator: RunningSimulator) -> None:
    text = r"one\u2028two\u2029three\u0085four \uD83D end"
    simulator.set_script(f"{_AT_ONCE}[[rules]]\nanswer = 'text'\ntext = '{text}'\nfrom_job = 1\nto_job = 1")
    batch_id = created_id(simulator, 1)
    until(simulator)
    (line,) = filter(None, lines_of(simulator, batch_id))
    assert "\\ud83d" in line.decode()
    simulator.set_script(f"{_AT_ONCE}[[rules]]\nanswer = 'text'\ntext = '{text[:-11]}'")
    batch_id = created_id(simulator, 1)
    until(simulator)
    (line,) = filter(None, lines_of(simulator, batch_id))
    assert "one\u2028two\u2029three\u0085four" in line.decode()


def test_a_fault_of_the_wire_leaves_items_alone(simulator: RunningSimulator) -> None:
    rules = "".join(f"[[rules]]\nanswer = '{word}'\n" for word in ("hang", "cut", "502_page", "malformed", "empty"))
    simulator.set_script(f"{_AT_ONCE}{rules}[[rules]]\nlane = 'live'\nanswer = 400\n[noise]\n529 = 1.0")
    created_id(simulator)
    assert until(simulator)["request_counts"]["succeeded"] == 4
    assert [one["answer"] for one in simulator.purchases()] == ["ok"] * 4


@pytest.mark.parametrize(
    ("rule", "times_half"),
    [
        ("answer = 'other_tier'\nservice_tier = 'standard'", 2),
        ("answer = 'ok'\nusage = {service_tier = 'standard'}", 2),
        ("answer = 'ok'\nmessage = {usage = {service_tier = 'standard', input_tokens = 1, output_tokens = 1}}", 1),
        ("answer = 'ok'\nwithout = ['service_tier']", 1),
        ("answer = 'no_usage'", 1),
    ],
)
def test_a_tier_that_is_wrong_or_missing_has_one_known_price(
    simulator: RunningSimulator, rule: str, times_half: int
) -> None:
    created_id(simulator, 1)
    until(simulator)
    simulator.set_script(f"{_AT_ONCE}[[rules]]\n{rule}")
    created_id(simulator, 1)
    until(simulator)
    half, asked = (one["billed_nano_usd"] for one in simulator.purchases())
    assert asked == times_half * half > 0
