"""Parameters that no model takes are refused before anything is queued, by serve and submit alike, with their field."""

from typing import Any

import pytest

from producer.prompt.check_params import field_problem
from producer.prompt.check_prompt import check
from producer.prompt.prompt import Prompt

_FINE = {"max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}
_MARKED = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
_SEARCH = {"type": "web_search_20260209", "name": "web_search"}
_SERVER = {"type": "url", "url": "https://mcp.example.com", "name": "files"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, None),
        ({"system": [_MARKED], "tools": [{"name": "look", "cache_control": {"type": "ephemeral"}}]}, None),
        ({"speed": "fast", "inference_geo": "us", "container": "container_1", "mcp_servers": [_SERVER]}, None),
        ({"fallbacks": "default", "context_management": {"edits": []}, "tools": ({**_SEARCH, "max_uses": 5},)}, None),
        ({"speed": None, "tools": None, "a_field_of_tomorrow": {"x": 1}}, None),
        ({"system": [{**_MARKED, "cache_control": 5}]}, "system: "),
        ({"tools": [{"name": "look", "cache_control": "yes"}]}, "tools: "),
        ({"temperature": 3}, "temperature: 3 should be a number from 0 to 1"),
        ({"messages": [{"role": "assistant", "content": "I"}]}, "messages[0].role: "),
        ({"speed": "turbo"}, "speed: 'turbo' should be standard or fast"),
        ({"speed": {}}, "speed: {} should be standard or fast"),
        ({"inference_geo": 7}, "inference_geo: 7 should be text"),
        ({"container": 5}, "container: 5 should be the id of a container, or an object"),
        ({"context_management": []}, "context_management: [] should be an object"),
        ({"mcp_servers": 5}, "mcp_servers: 5 should be a list of servers, each an object with a type"),
        ({"mcp_servers": ["files"]}, "mcp_servers: ['files'] should be a list of servers, each an object with a type"),
        ({"fallbacks": "opus"}, "fallbacks: 'opus' should be a list of objects, or \"default\""),
        ({"cache_control": "ephemeral"}, "cache_control: 'ephemeral' should be an object with a type"),
        (
            {"tools": [{"name": "look"}, {**_SEARCH, "max_uses": -5}]},
            "tools[1].max_uses: -5 should be a whole number from 1 to 10000",
        ),
        ({"tools": [{**_SEARCH, "max_uses": 10**30}]}, "tools[0].max_uses: 1000"),
        ({"tools": [{**_SEARCH, "max_uses": True}]}, "tools[0].max_uses: True should be "),
    ],
)
def test_a_field_that_is_wrong_is_named_and_others_are_let_through(given: dict[str, Any], message: str | None) -> None:
    problem = field_problem({**_FINE, **given})
    assert problem is None if message is None else ": ".join(problem or ()).startswith(message)


def test_a_line_of_a_file_is_told_its_field() -> None:
    mistake = check(Prompt(params={**_FINE, "mcp_servers": 5}), source="mb.jsonl", line=7)
    assert str(mistake).startswith("mb.jsonl:7: mcp_servers: 5 should be ")
