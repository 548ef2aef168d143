"""The keyword arguments of a submission."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from models.job.task_kinds import JobTerms
from models.outcome import OnUnknown


class BatchArguments(TypedDict, total=False):
    """A caller's options for a whole batch, whatever is submitted; Producer.submit explains each."""

    name: str | None
    key: str | None
    tags: Mapping[str, str] | None
    on_unknown: OnUnknown | None
    allow_unpriced: bool
    max_cost_usd: Decimal | str | float | None
    urgent: bool
    weight: int
    terms: JobTerms | None
    half_price: bool | None
    by: datetime | str | None


class SubmitArguments(BatchArguments, total=False):
    """A caller's options for a batch of prompts."""

    task: str | None
