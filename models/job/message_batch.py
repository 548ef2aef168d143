"""A message batch as values: requests that are bought together at half price, and their state at the provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from models.job.values import Claim, Opening, OverCap


class MessageBatchState(StrEnum):
    """The state of a message batch."""

    SENDING = "sending"  # committed with its items; its create has not been answered -> under_way, doubtful, refused
    DOUBTFUL = "doubtful"  # its create left, and may have been carried out -> under_way, lost
    UNDER_WAY = "under_way"  # the provider has the message batch -> cancelling, ended, doubtful
    CANCELLING = "cancelling"  # its jobs need their time for live calls -> ended
    ENDED = "ended"  # the provider has its results -> done, doubtful
    DONE = "done"  # its results are in the ledger
    REFUSED = "refused"  # nothing was bought
    LOST = "lost"  # in no list, or without results any more -> cancelling, if a list shows a stray


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessageBatch:
    """A message batch before its create: one model, one set of headers, and the items with their jobs.

    Its jobs go live from `switch_in_s` seconds from now on. `namespace` names the API key.
    """

    id: str
    namespace: str
    model: str
    headers: Mapping[str, str]
    switch_in_s: float
    items: Sequence[tuple[Claim, Opening]]


class OpenedBatch(NamedTuple):
    """The number of items of a message batch, and the jobs left out for want of room under a cap."""

    size: int
    without_room: Sequence[tuple[Claim, OverCap]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBatch:
    """A message batch in hand. Seconds count from the ledger's clock; `sent_ago_s` is None before the create left.

    `token` is that of the lease. `not_ours` are ids of the provider that turned out to be another's. `waiting` counts
    the jobs that still wait for an item. `looks` counts calls in vain, in a row: whole lists without a match, limited
    polls, downloads. `cache_ttl` is the lifetime of the marked prefixes, `5m` or `1h`; None if no item shares one.
    """

    id: str
    token: int
    state: MessageBatchState
    provider_id: str | None
    model: str
    headers: Mapping[str, str]
    size: int
    cache_ttl: str | None
    is_proven: bool
    not_ours: tuple[str, ...]
    looks: int
    sent_ago_s: float | None
    switch_in_s: float
    is_cancelled: bool
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """An item whose end is not in the ledger: the job as claimed, and the attempt as opened.

    `is_waiting` is False if the job went on without the item.
    """

    claim: Claim
    opening: Opening
    opened_at: datetime
    is_waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """A job that waits for a place in a message batch, and goes live in `live_in_s` seconds at the latest."""

    claim: Claim
    live_in_s: float
