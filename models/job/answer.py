"""The result of one job, as its submitter sees the result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.outcome import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One job's end, or where it is by now.

    `id` is the prompt's own id within its batch. `message` is the API's Message as it was received, None
    until the job has succeeded. `declined` is the turn of a failed job, refused, paused or without a word, as it was
    received. `cost_usd` is the sum over the job's attempts, None if one of them has no
    known cost. `error` tells why the job failed or waits. `finished_at` is None until it has ended.
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
        """The API's own Message, whatever the chain made of it."""
        return self.message or self.declined

    @property
    def why_none(self) -> str:
        """Why there is no message: what the provider said, else how the job ended."""
        return self.error or f"job {self.job_id} ended as {self.outcome or self.state}, without an answer"

    @property
    def stop_reason(self) -> str | None:
        """Why the model stopped, in the API's own word."""
        return None if self.message is None else self.message.get("stop_reason")

    @property
    def text(self) -> str | None:
        """The text blocks of the answer, joined; None where there is no answer."""
        return None if self.message is None else text_of(self.message)


def text_of(message: Mapping[str, Any]) -> str:
    """Join the text blocks of an API Message."""
    return "".join(str(block.get("text") or "") for block in message["content"] if block.get("type") == "text")
