"""The prompt of a caller."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from models.outcome import Refused

DEFAULT_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, by its text or by whole Messages API parameters.

    `id` is unique within the batch (at most 200 characters); the default is the position from 1. `max_tokens` counts
    output tokens. `params` replaces text, max_tokens and system: `messages`, `max_tokens` and any other parameter of
    the Messages API. A `model` in `params` names the start. `columns` are the input's own columns: they come back with
    the answer and are never sent. `task`, `start`, `floor` and `ceiling` are this prompt's own; the last three name
    models of the chain. `refused` is the reason why no model would take the prompt: the job fails at once, other jobs
    go on. `headers` are the `anthropic-version` and the `anthropic-beta` of the prompt's requests.
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
