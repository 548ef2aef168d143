"""The capabilities that the provider states for each model. Until then, the table of models serves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.chain.capabilities import Capabilities, capabilities_of


class LearnedCapabilities:
    """Returns the capabilities of a model. `ask` returns the API's facts of a model, or None without an answer.

    `window_of` is the window in the price book, which is newer than a guess by the model's name.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        ask: Callable[[str], Mapping[str, Any] | None],
        window_of: Callable[[str], int | None],
    ) -> None:
        self._ask = ask
        self._unasked = list(models)
        self._facts = {model: _by_name(model, window_of) for model in models}

    def __call__(self, model: str) -> Capabilities:
        """Return the capabilities that are known by now."""
        return self._facts.get(model) or capabilities_of(model)

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


def _by_name(model: str, window_of: Callable[[str], int | None]) -> Capabilities:
    facts = capabilities_of(model)
    return replace(facts, window=window_of(model) or facts.window)
