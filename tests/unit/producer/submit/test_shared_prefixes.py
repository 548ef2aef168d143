"""The system prompts that jobs of a batch share: which are named for the cache, and how their requests are marked."""

from typing import Any

import pytest

from models.money.prompt_cache import marked, prefix_of, prefix_tokens
from producer.submit.shared_prefixes import shared_prefixes
from tests.support.plays.walk_scene import HAIKU, OPUS, SONNET

_LONG = "Each harbour has its own tariff. " * 120  # 1,131 tokens
_TOOL = {"name": "look", "input_schema": {"type": "object"}}
_MARK = {"cache_control": {"type": "ephemeral"}}


def _prefixes(*params: dict[str, Any], models: tuple[str, ...] = (OPUS, SONNET, HAIKU)) -> list[str | None]:
    asked = [{"role": "user", "content": "Which has the harbour?"}]
    return shared_prefixes([{"max_tokens": 100, "messages": asked, **one} for one in params], models)


def test_two_jobs_share_a_beginning_and_one_has_its_own() -> None:
    one, other, alone = _prefixes({"system": _LONG}, {"system": _LONG}, {"system": f"{_LONG}!"})
    assert one is not None
    assert (one == other, alone) == (True, None)


def test_tools_are_part_of_the_beginning() -> None:
    plain, also, tooled = _prefixes({"system": _LONG}, {"system": _LONG}, {"system": _LONG, "tools": [_TOOL]})
    assert plain is not None
    assert (plain == also, tooled) == (True, None)


def test_it_is_named_where_the_model_that_keeps_the_shortest_keeps_it() -> None:
    assert _prefixes({"system": _LONG}, {"system": _LONG}, models=(OPUS, HAIKU)) == [None, None]
    assert None not in _prefixes({"system": _LONG}, {"system": _LONG}, models=(OPUS, SONNET))


@pytest.mark.parametrize(
    "own",
    [
        {"system": [{"type": "text", "text": _LONG, **_MARK}]},
        {"system": _LONG, "messages": [{"role": "user", "content": [{"type": "text", "text": "Which?", **_MARK}]}]},
        {"system": _LONG, "tools": [_TOOL | _MARK]},
        {"system": _LONG, **_MARK},
        {"messages": [{"role": "user", "content": _LONG}]},
        {"system": [{"type": "image", "source": {}}]},
        {"system": ""},
        {},
    ],
    ids=["in system", "in a message", "in a tool", "on the request", "no system", "an image", "empty", "nothing"],
)
def test_a_callers_own_marks_are_left_to_him_and_so_is_what_has_no_system_text(own: dict[str, Any]) -> None:
    assert _prefixes(own, own) == [None, None]


def test_a_mark_stands_at_the_end_of_the_system_text_and_nothing_else_changes() -> None:
    request = {"max_tokens": 1, "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    found = marked(request)
    assert found == {"max_tokens": 1, "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", **_MARK}]}
    assert "cache_control" not in str(request)
    assert prefix_of(found) is None
    assert prefix_tokens(found) == prefix_tokens(request)
