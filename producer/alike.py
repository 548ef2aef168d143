"""Finds the system prompts that jobs of a batch share: each is worth a place in the provider's cache."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.facts import facts_of
from models.life import NewJob
from models.prefix import prefix_of, prefix_tokens

_ENOUGH = 2  # written at 1.25 times the rate and read once at 0.1 is less than twice the whole


def sharing_prefixes(jobs: Sequence[NewJob], models: Sequence[str]) -> list[NewJob]:
    """Name for each job the beginning it shares with another of its batch."""
    shared = shared_prefixes([job.params for job in jobs], models)
    return [replace(job, prefix=prefix) for job, prefix in zip(jobs, shared, strict=True)]


def shared_prefixes(requests: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[str | None]:
    """Name the beginning that each shares with another, where one of the models keeps one as short as that; else None.

    >>> long, short = {"system": "Be brief. " * 900}, {"system": "Be brief."}
    >>> [name is not None for name in shared_prefixes([long, long, short, short], ["claude-sonnet-4-6"])]
    [True, True, False, False]
    """
    smallest = min(facts_of(model).smallest_prefix for model in models)
    known: dict[str, str | None] = {}
    named = [_named(request, smallest, known) for request in requests]
    counts = Counter(named)
    return [prefix if prefix is not None and counts[prefix] >= _ENOUGH else None for prefix in named]


def _named(params: Mapping[str, Any], smallest: int, known: dict[str, str | None]) -> str | None:
    system = params.get("system")
    if not system or prefix_tokens(params) < smallest:
        return None
    if not isinstance(system, str) or params.get("tools") or not _is_plain(params):
        return prefix_of(params)
    if system not in known:  # of a large batch it is the same text over and over
        known[system] = prefix_of(params)
    return known[system]


def _is_plain(params: Mapping[str, Any]) -> bool:
    """Tell whether no part of it can bear a mark."""
    messages = params.get("messages")
    is_text = isinstance(messages, list) and all(isinstance(message.get("content"), str) for message in messages)
    return is_text and not params.get("cache_control")
