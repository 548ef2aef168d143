"""The capabilities that the provider states for each model. Until then, the table of models serves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.chain.capabilities import Capabilities, capabilities_of


class LearnedCapabilities:
    """Returns the capabilities of a model. `ask` returns the API's facts of a model, or None without an answer.

    `window_of` is the window in the price book, which is newer than a guess by the model's name. `known` is the table.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        ask: Callable[[str], Mapping[str, Any] | None],
        window_of: Callable[[str], int | None],
        known: Callable[[str], Capabilities] = capabilities_of,
    ) -> None:
        self._known = known
        self._ask = ask
        self._unasked = list(models)
        self._facts = {model: _by_name(known(model), window_of) for model in models}

    def __call__(self, model: str) -> Capabilities:
        """Return the capabilities that are known by now."""
        return self._facts.get(model) or self._known(model)

    def window_of(self, model: str) -> int | None:
        """Return the most tokens that prompt and answer may have together."""
        return self(model).window

    def ask_one(self) -> None:
        """Ask the API about the next model; a model without an answer is asked again after the others."""
        if not self._unasked:
            return
        model = self._unasked.pop(0)
        if (body := self._ask(model)) is None:
            self._unasked.append(model)
        else:
            self._facts[model] = self._facts[model].stated(body)


def _by_name(facts: Capabilities, window_of: Callable[[str], int | None]) -> Capabilities:
    return replace(facts, window=window_of(facts.model) or facts.window)
