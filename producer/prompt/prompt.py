"""The prompt: what the caller wants answered."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from models.outcome import Refused

DEFAULT_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, by its text or by whole Messages API parameters.

    `id` is unique within the batch (at most 200 characters); left out, it is the position from 1.
    `max_tokens` counts output tokens. `params` replaces text, max_tokens and system: it holds `messages`,
    `max_tokens` and whatever else the Messages API takes; a `model` in it names the rung the job starts at.
    `columns` are the input's own columns: they come back with the answer and are never sent.
    `task`, `start`, `floor` and `ceiling` are this prompt's own; the last three name models of the chain.
    `refused` tells why no model would take it: its job has failed from the start, beside others that go on.
    `headers` are the `anthropic-version` and the `anthropic-beta` that its requests leave with.
    """

    text: str = ""
    _: KW_ONLY
    id: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    system: str | None = None
    params: Mapping[str, Any] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    start: str | None = None
    floor: str | None = None
    ceiling: str | None = None
    refused: Refused | None = None
    headers: Mapping[str, str] | None = None

    def request(self) -> dict[str, Any]:
        """Build the Messages API parameters, without the model."""
        if self.params is not None:
            return {name: value for name, value in self.params.items() if name != "model"}
        request: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "messages": [{"role": "user", "content": self.text}],
        }
        return request if self.system is None else {"system": self.system, **request}
