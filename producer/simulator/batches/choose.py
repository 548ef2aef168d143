"""The rule that answers a call about message batches: the first whose selectors all fit, with its uses counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.simulator.answer.batch_script import BatchRule
from producer.simulator.answer.choose import ANSWER_WELL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.simulator.answer.draw import Draw
    from producer.simulator.batches.requests import Item

WELL = BatchRule(number=0, reply=ANSWER_WELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call: its kind, and the number and the items of its message batch. A list has neither."""

    kind: str
    number: int | None = None
    items: Sequence[Item] = ()


@dataclass(slots=True)
class BatchChooser:
    """The batch rules of a script being played; seconds and uses count from its start."""

    rules: Sequence[BatchRule]
    started_s: float
    _uses: Counter[int] = field(default_factory=Counter)
    _uses_by_batch: Counter[tuple[int, int | None]] = field(default_factory=Counter)

    def choose(self, call: Call, draw: Draw, now_s: float) -> BatchRule:
        """Return the first rule that fits, or the rule that answers well."""
        for rule in self.rules:
            if self._fits(rule, call, now_s - self.started_s) and (
                rule.share == 1 or draw.share(f"batch rule {rule.number}") < rule.share
            ):
                self._uses[rule.number] += 1
                self._uses_by_batch[rule.number, call.number] += 1
                return rule
        return WELL

    def _fits(self, rule: BatchRule, call: Call, age_s: float) -> bool:
        uses, uses_of_batch = self._uses[rule.number], self._uses_by_batch[rule.number, call.number]
        return (
            rule.call in ("", call.kind)
            and _is_of(rule, call.number)
            and rule.from_s <= age_s
            and (rule.to_s is None or age_s < rule.to_s)
            and (rule.times is None or uses < rule.times)
            and (rule.times_per_batch is None or uses_of_batch < rule.times_per_batch)
            and (not rule.prompt_contains or _says(call.items, rule.prompt_contains))
        )


def _is_of(rule: BatchRule, number: int | None) -> bool:
    """Return whether a rule is for a message batch. A list and a foreign batch fit a rule that names no number."""
    if not number:
        return rule.from_batch == 1 and rule.to_batch is None
    return rule.from_batch <= number and (rule.to_batch is None or number <= rule.to_batch)


def _says(items: Sequence[Item], words: str) -> bool:
    """Return whether a request of the message batch contains the words."""
    escaped = json.dumps(words)[1:-1].encode()
    return any(escaped in item.body for item in items)
