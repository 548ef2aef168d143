"""A rule of a script: the requests that the rule fits, and their answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.simulator.request.catalog import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.simulator.answer.answers import Answer

EVERY_MODEL = frozenset(model.id for model in MODELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule: selectors of requests, and their answer. `number` counts from 1 in the file.

    `to_job` is included, `to_s` is not; `share` is of the requests that the other selectors allow. `lane` is "live",
    "batch" or both. `without` are counters that the reply leaves out.
    """

    number: int
    answer: Answer
    models: frozenset[str]
    from_job: int = 1
    to_job: int | None = None
    from_s: float = 0.0
    to_s: float | None = None
    share: float = 1.0
    prompt_contains: str = ""
    times: int | None = None
    times_per_job: int | None = None
    delay_s: float = 0.0
    retry_after_s: float | None = None
    retry_after_form: str = ""
    every_s: float = 0.2
    after_events: int | None = None
    error_type: str = "overloaded_error"
    served_model: str = ""
    service_tier: str = ""
    output: bool = True
    category: str | None = None
    explanation: str | None = None
    stop_reason: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    tokens_per_s: float | None = None
    status: int = 200
    content_type: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "https://login.example/"
    text: str = ""
    tool: str = ""
    tool_input: Mapping[str, Any] = field(default_factory=dict)
    web_searches: int = 0
    iterations: Sequence[Mapping[str, Any]] = ()
    billed: bool | None = None
    lane: str = ""
    without: Sequence[str] = ()

    def is_for(self, *, item: bool) -> bool:
        """Return whether the rule answers an item of a message batch, or a live request."""
        if item and self.answer.is_of_wire:
            return False
        return self.lane in ("", "batch" if item else "live")
