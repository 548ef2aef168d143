"""The prompt cache: written once per model, read while it lives, too small a prefix never."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from producer.simulator.account.cache import PromptCache, Split
from producer.simulator.request.checks import RefusedError, read_prompt
from producer.simulator.request.versions import Head

if TYPE_CHECKING:
    from producer.simulator.request.prompt import Prompt

_LONG = "x" * 16_000  # 4,000 tokens
_MARK = {"type": "ephemeral"}


def _prompt(model: str, *blocks: dict[str, Any]) -> Prompt:
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": list(blocks)}]}
    return read_prompt(json.dumps(body).encode(), Head())


def _text(text: str, **mark: object) -> dict[str, Any]:
    return {"type": "text", "text": text, **({"cache_control": {**_MARK, **mark}} if mark else {})}


def _marked(text: str, ttl: str = "5m") -> dict[str, Any]:
    return _text(text, ttl=ttl)


def test_a_prompt_without_marks_is_neither_read_nor_written() -> None:
    cache = PromptCache()
    prompt = _prompt("claude-opus-4-7", _text(_LONG))
    cache.keep(prompt, 0.0)
    assert cache.split(prompt, 0.0) == Split(uncached=4_000)


def test_a_prefix_is_written_first_and_read_afterwards() -> None:
    cache = PromptCache()
    first = _prompt("claude-opus-4-7", _marked(_LONG), _text("What is it about?"))
    assert cache.split(first, 0.0) == Split(uncached=5, write_5m=4_000)
    cache.keep(first, 0.0)
    second = _prompt("claude-opus-4-7", _marked(_LONG), _text("And who wrote it?"))
    assert cache.split(second, 299.0) == Split(uncached=5, read=4_000)


def test_caches_are_per_model() -> None:
    cache = PromptCache()
    cache.keep(_prompt("claude-opus-4-7", _marked(_LONG)), 0.0)
    assert cache.split(_prompt("claude-sonnet-4-6", _marked(_LONG)), 0.0).write_5m == 4_000


def test_a_prefix_ends_after_five_minutes_unless_it_is_read() -> None:
    cache = PromptCache()
    prompt = _prompt("claude-opus-4-7", _marked(_LONG))
    cache.keep(prompt, 0.0)
    assert cache.split(prompt, 301.0).read == 0
    cache.keep(prompt, 299.0)
    assert cache.split(prompt, 598.0).read == 4_000


def test_an_hour_costs_its_own_counter_and_lasts_an_hour() -> None:
    cache = PromptCache()
    prompt = _prompt("claude-opus-4-7", _marked(_LONG, "1h"), _marked(_LONG))
    assert cache.split(prompt, 0.0) == Split(uncached=0, write_1h=4_000, write_5m=4_000)
    cache.keep(prompt, 0.0)
    assert cache.split(prompt, 3_599.0) == Split(uncached=0, read=4_000, write_5m=4_000)


def test_a_prefix_below_the_models_smallest_is_not_cached() -> None:
    cache = PromptCache()
    prompt = _prompt("claude-haiku-4-5", _marked(_LONG))  # 4,000 of the 4,096 tokens it takes
    cache.keep(prompt, 0.0)
    assert cache.split(prompt, 0.0) == Split(uncached=4_000)


def test_a_conversation_reads_what_its_last_turn_wrote() -> None:
    cache = PromptCache()
    cache.keep(_prompt("claude-opus-4-7", _marked(_LONG)), 0.0)
    longer = _prompt("claude-opus-4-7", _text(_LONG), _marked(_LONG))
    assert cache.split(longer, 0.0) == Split(uncached=0, read=4_000, write_5m=4_000)


def test_cache_control_at_the_top_marks_the_last_block() -> None:
    body = {
        "model": "claude-opus-4-7",
        "max_tokens": 10,
        "cache_control": _MARK,
        "messages": [{"role": "user", "content": _LONG}],
    }
    prompt = read_prompt(json.dumps(body).encode(), Head())
    assert PromptCache().split(prompt, 0.0).write_5m == 4_000


def test_a_fifth_mark_is_refused() -> None:
    with pytest.raises(RefusedError, match="A maximum of 4 blocks with cache_control"):
        _prompt("claude-opus-4-7", *(_marked(str(number)) for number in range(5)))
