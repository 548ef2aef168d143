"""Parameters that no model takes are refused by `stepdown serve` before anything is queued, with their field."""

from typing import Any

import pytest

from producer.web.params import problem_of

_FINE = {"messages": [{"role": "user", "content": "Why?"}]}
_MARKED = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, None),
        ({"system": [_MARKED], "tools": [{"name": "look", "cache_control": {"type": "ephemeral"}}]}, None),
        ({"system": [{**_MARKED, "cache_control": 5}]}, "system: "),
        ({"tools": [{"name": "look", "cache_control": "yes"}]}, "tools: "),
        ({"temperature": 3}, "temperature: 3 should be a number from 0 to 1"),
        ({"messages": [{"role": "assistant", "content": "I"}]}, "messages[0].role: "),
    ],
)
def test_a_field_that_is_wrong_is_named_and_others_are_let_through(given: dict[str, Any], said: str | None) -> None:
    problem = problem_of({**_FINE, **given})
    assert problem is None if said is None else str(problem).startswith(said)
