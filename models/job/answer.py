"""The result of one job, for its submitter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.outcome import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of a job, or its present state.

    `id` is the prompt's own id within its batch. `message` is the API's Message as received, None until the job has
    succeeded. `declined` is the turn of a failed job as received: refused, paused or without a word. `cost_usd` is the
    sum over the job's attempts, None if a cost is unknown. `error` is the reason why the job failed or waits.
    `finished_at` is None until the job has ended.
    """

    id: str
    job_id: str
    state: State
    message: Mapping[str, Any] | None = None
    model: str | None = None
    fallback_depth: int | None = None
    cost_usd: Decimal | None = None
    outcome: str | None = None
    error: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    finished_at: datetime | None = None
    declined: Mapping[str, Any] | None = None

    @property
    def turn(self) -> Mapping[str, Any] | None:
        """The API's own Message, whether or not the chain accepted it."""
        return self.message or self.declined

    @property
    def why_none(self) -> str:
        """The reason for a missing message: the provider's words, else the end of the job."""
        return self.error or f"job {self.job_id} ended as {self.outcome or self.state}, without an answer"

    @property
    def stop_reason(self) -> str | None:
        """The reason why the model stopped, in the API's own word."""
        return None if self.message is None else self.message.get("stop_reason")

    @property
    def text(self) -> str | None:
        """The text blocks of the answer, joined, or None without an answer."""
        return None if self.message is None else text_of(self.message)


def text_of(message: Mapping[str, Any]) -> str:
    """Join the text blocks of an API Message."""
    return "".join(str(block.get("text") or "") for block in message["content"] if block.get("type") == "text")
