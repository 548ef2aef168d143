"""What a model takes: by its name, and then by what the provider says of it."""

from typing import Any

from models.chain.capabilities import EFFORTS, capabilities_of
from tests.support.plays.walk_scene import HAIKU, OPUS
from worker.provider.capabilities import LearnedCapabilities


def test_what_the_provider_says_goes_before_what_the_name_tells() -> None:
    reported = {
        "max_input_tokens": 500_000,
        "max_tokens": 32_000,
        "capabilities": {
            "thinking": {
                "supported": True,
                "types": {
                    "adaptive": {"supported": True},
                    "disabled": {"supported": True},
                    "enabled": {"supported": False},
                },
            },
            "effort": {"supported": True, "low": {"supported": True}, "max": {"supported": False}, "xhigh": None},
        },
    }
    facts = capabilities_of(OPUS).stated(reported)
    assert (facts.window, facts.most_output) == (500_000, 32_000)
    assert (set(facts.thinking), list(facts.efforts)) == ({"adaptive", "disabled"}, ["low"])
    assert not facts.takes_sampling


def test_what_the_provider_leaves_out_stays_as_it_was() -> None:
    odd: dict[str, Any]
    for odd in (
        {},
        {"max_tokens": None, "max_input_tokens": "many", "capabilities": None},
        {"max_tokens": 0, "capabilities": {"thinking": {"types": {}}, "effort": 7}},
    ):
        assert capabilities_of(HAIKU).stated(odd) == capabilities_of(HAIKU)


def test_a_model_nobody_knows_takes_what_it_is_given() -> None:
    facts = capabilities_of("mine")
    assert (facts.window, facts.most_output, facts.takes_sampling, facts.efforts) == (None, None, True, EFFORTS)


def test_each_model_is_asked_of_until_something_was_said() -> None:
    asked: list[str] = []
    message: list[dict[str, Any] | None] = [None, {"max_tokens": 7}, {}]

    def ask(model: str) -> dict[str, Any] | None:
        asked.append(model)
        return message.pop(0)

    known = LearnedCapabilities([OPUS, HAIKU], ask=ask, window_of={OPUS: 9}.get)
    assert (known(OPUS).window, known(HAIKU).window, known.window_of(HAIKU)) == (9, 200_000, 200_000)
    for _ in range(5):
        known.ask_one()
    assert asked == [OPUS, HAIKU, OPUS]
    assert (known(OPUS).most_output, known(HAIKU).most_output) == (128_000, 7)
    assert known("another") == capabilities_of("another")
