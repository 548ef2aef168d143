"""Finds the system prompts that jobs of a batch share: each is worth a place in the provider's cache."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.chain.capabilities import capabilities_of
from models.money.prompt_cache import prefix_of, prefix_tokens
from producer.prompt.duplicates import Repeats

_MOST_KNOWN = 1000  # system prompts, which may be long: a batch has one, or one for each prompt


class Prefixes:
    """Names what each request begins with, one after the other; in the end `shared` tells which names stand.

    A beginning is worth it once another has it: written at 1.25 times the rate and read once at 0.1 is less than twice
    the whole. None has a name that is shorter than what the `models` keep, or where there are no models.
    """

    def __init__(self, models: Sequence[str]) -> None:
        self._smallest = min((capabilities_of(model).smallest_prefix for model in models), default=None)
        self._known: dict[str, str | None] = {}
        self._names = Repeats()

    def named(self, params: Mapping[str, Any]) -> str | None:
        """Name what a request begins with; None where it is too short, or has marks of its own."""
        name = self._named(params)
        if name is not None:
            self._names.add(name)
        return name

    def shared(self) -> Callable[[str | None], str | None]:
        """Give what keeps the names that were given more than once."""
        repeated = self._names.repeated()
        return lambda name: name if name is not None and hash(name) in repeated else None

    def _named(self, params: Mapping[str, Any]) -> str | None:
        system = params.get("system")
        if not system or self._smallest is None or prefix_tokens(params) < self._smallest:
            return None
        if not isinstance(system, str) or params.get("tools") or not _is_plain(params):
            return prefix_of(params)
        if system not in self._known:  # of a large batch it is the same text over and over
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[system] = prefix_of(params)
        return self._known[system]


def shared_prefixes(requests: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[str | None]:
    """Name the beginning that each shares with another, where one of the models keeps one as short as that; else None.

    >>> long, short = {"system": "Be brief. " * 900}, {"system": "Be brief."}
    >>> [name is not None for name in shared_prefixes([long, long, short, short], ["claude-sonnet-4-6"])]
    [True, True, False, False]
    """
    prefixes = Prefixes(models)
    named = [prefixes.named(request) for request in requests]
    return [*map(prefixes.shared(), named)]


def _is_plain(params: Mapping[str, Any]) -> bool:
    """Tell whether no part of it can bear a mark."""
    messages = params.get("messages")
    is_text = isinstance(messages, list) and all(isinstance(message.get("content"), str) for message in messages)
    return is_text and not params.get("cache_control")
