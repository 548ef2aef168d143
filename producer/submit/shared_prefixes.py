"""Finds the system prompts that jobs of a batch share: each is worth a place in the provider's cache."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.chain.capabilities import capabilities_of
from models.money.prompt_cache import prefix_of, prefix_tokens
from producer.prompt.duplicates import Repeats

_MOST_KNOWN = 1000  # system prompts, which may be long: a batch has one, or each prompt has its own


class Prefixes:
    """Names the prefix of each request, one after the other; at the end `shared` keeps the names of shared prefixes.

    A second request pays for a mark: a write at 1.25 and a read at 0.1 are below 2. A prefix too short for all `models`
    has no name. Without models no prefix has a name.
    """

    def __init__(self, models: Sequence[str]) -> None:
        self._smallest = min((capabilities_of(model).smallest_prefix for model in models), default=None)
        self._known: dict[str, str | None] = {}
        self._names = Repeats()

    def named(self, params: Mapping[str, Any]) -> str | None:
        """Return the name of a request's prefix. Returns None if the prefix is too short, or has marks of its own."""
        name = self._named(params)
        if name is not None:
            self._names.add(name)
        return name

    def shared(self) -> Callable[[str | None], str | None]:
        """Return a function that keeps the names given more than once."""
        repeated = self._names.repeated()
        return lambda name: name if name is not None and hash(name) in repeated else None

    def _named(self, params: Mapping[str, Any]) -> str | None:
        system = params.get("system")
        if not system or self._smallest is None or prefix_tokens(params) < self._smallest:
            return None
        if not isinstance(system, str) or params.get("tools") or not _is_plain(params):
            return prefix_of(params)
        if system not in self._known:  # the requests of a large batch share the text
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[system] = prefix_of(params)
        return self._known[system]


def shared_prefixes(requests: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[str | None]:
    """Return the name of each request's prefix if another request shares the prefix and a model caches it; else None.

    >>> long, short = {"system": "Be brief. " * 900}, {"system": "Be brief."}
    >>> [name is not None for name in shared_prefixes([long, long, short, short], ["claude-sonnet-4-6"])]
    [True, True, False, False]
    """
    prefixes = Prefixes(models)
    named = [prefixes.named(request) for request in requests]
    return [*map(prefixes.shared(), named)]


def _is_plain(params: Mapping[str, Any]) -> bool:
    """Return whether no part of the parameters can bear a mark."""
    messages = params.get("messages")
    is_text = isinstance(messages, list) and all(isinstance(message.get("content"), str) for message in messages)
    return is_text and not params.get("cache_control")
