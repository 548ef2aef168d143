"""Waiting jobs become a message batch: of one model and one set of headers, committed before the create."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from models.ids import new_id
from models.job.message_batch import NewMessageBatch, WaitingJob
from models.job.values import Claim, Opening
from models.rung_name import is_usual
from models.text import is_storable
from worker.events import LeftForLive, MessageBatchMade
from worker.fallback.rung import RungContext
from worker.fallback.try_rung import fit, opening_of
from worker.fallback.wait_or_step import wait_for_room
from worker.fallback.walk import first_rung
from worker.half_price.lane import TIER, Lane
from worker.provider.fit_request import FittedRequest
from worker.recovery.failpoints import failpoint

MOST_REQUESTS = 2_000  # the slowest item holds all others; a lost create is found sooner
MOST_BYTES = 32 * 1024 * 1024
_NEAR = 2  # times the time of the first job
_UNSUPPORTED = ("stream", "speed", "store")  # parameters that a message batch refuses


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """A job that can be packed: its attempt, the headers of its request, and its time."""

    claim: Claim
    opening: Opening
    headers: tuple[tuple[str, str], ...]
    live_in_s: float
    size: int


@dataclass(slots=True, kw_only=True)
class Packer:
    """Makes message batches of a lane, one at a time. A few jobs wait `poll_s` for more."""

    lane: Lane
    clock: Callable[[], float]  # monotonic
    _since: float | None = field(default=None, init=False)

    def tick(self) -> int:
        """Commit a message batch if enough jobs wait. Returns the number of its items. Raises LedgerError."""
        count = self.lane.batches.to_pack(self.lane.namespace, most=MOST_REQUESTS)
        if not count:
            self._since = None
            return 0
        self._since = self.clock() if self._since is None else self._since
        if count < MOST_REQUESTS and self.clock() - self._since < self.lane.poll_s:
            return 0
        self._since = None
        return pack(self.lane, self.lane.batches.candidates(limit=MOST_REQUESTS))


def pack(lane: Lane, candidates: Sequence[WaitingJob]) -> int:
    """Commit a message batch of the first job and those alike. Jobs that cannot be packed go live.

    Returns the number of items.
    """
    takes_s = lru_cache(maxsize=None)(lane.takes_s)
    chosen: list[_Packed] = []
    left: list[Claim] = []
    size = 0
    for candidate in candidates:
        packed = _packed(lane, candidate, takes_s)
        if packed is None:
            left.append(candidate.claim)
        elif _fits(packed, chosen, size):
            chosen.append(packed)
            size += packed.size
    _go_live(lane, left)
    return _made(lane, chosen) if chosen else 0


def _packed(lane: Lane, candidate: WaitingJob, takes_s: Callable[[str], float]) -> _Packed | None:
    claim, worker = candidate.claim, lane.worker
    rung = first_rung(claim, worker, claim.deadline_s)
    has_time = candidate.live_in_s - lane.grace_s >= takes_s(rung.model)
    if not (has_time and is_usual(rung.model)) or claim.is_urgent or not is_supported(claim.params):
        return None
    request = fit(rung)
    if not isinstance(request, FittedRequest):
        return None
    opening = _opening(lane, rung, request)
    text = json.dumps(request.params)
    if (opening.caps and opening.worst_case_usd is None) or _has_half_a_pair(text):
        return None
    return _Packed(
        claim=claim,
        opening=opening,
        headers=tuple(sorted(request.headers.items())),
        live_in_s=candidate.live_in_s,
        size=len(text),
    )


def _has_half_a_pair(text: str) -> bool:
    """Return whether JSON holds half a surrogate pair, for which the API refuses the whole create."""
    return r"\ud" in text and not is_storable(json.dumps(json.loads(text), ensure_ascii=False))


def is_supported(params: Mapping[str, Any]) -> bool:
    """Return whether a message batch takes a request with these parameters."""
    return params.get("max_tokens") != 0 and not any(params.get(name) for name in _UNSUPPORTED)


def _opening(lane: Lane, rung: RungContext, request: FittedRequest) -> Opening:
    worst = lane.worker.worst_case_usd(rung.model, request.params, service_tier=TIER)
    return opening_of(rung, request, worst_case_usd=worst)


def _fits(packed: _Packed, chosen: Sequence[_Packed], size: int) -> bool:
    if not chosen:
        return True
    first = chosen[0]  # has the nearest deadline: at its switch time all are cancelled
    is_alike = (packed.opening.model, packed.headers) == (first.opening.model, first.headers)
    is_near = packed.live_in_s <= _NEAR * first.live_in_s
    return is_alike and is_near and len(chosen) < MOST_REQUESTS and size + packed.size <= MOST_BYTES


def _made(lane: Lane, chosen: Sequence[_Packed]) -> int:
    batch_id = new_id()
    first = chosen[0]
    new = NewMessageBatch(
        id=batch_id,
        namespace=lane.namespace,
        model=first.opening.model,
        headers=dict(first.headers),
        switch_in_s=min(packed.live_in_s for packed in chosen) - lane.grace_s,
        items=[(packed.claim, replace(packed.opening, message_batch_id=batch_id)) for packed in chosen],
    )
    failpoint("before_pack")
    count, without_room = lane.batches.open(new)
    failpoint("after_pack")
    if count:
        lane.worker.report(MessageBatchMade(batch_id=batch_id, model=new.model, count=count))
    live_in_s = {packed.claim.job_id: packed.live_in_s - lane.grace_s - lane.takes_s(new.model) for packed in chosen}
    ends = [
        (claim, wait_for_room(first_rung(claim, lane.worker, claim.deadline_s), over, within_s=live_in_s[claim.job_id]))
        for claim, over in without_room
    ]
    lane.batches.wait_for_room([(claim, ending) for claim, ending in ends if ending is not None])
    _go_live(lane, [claim for claim, ending in ends if ending is None])
    return count


def _go_live(lane: Lane, claims: Sequence[Claim]) -> None:
    if claims:
        lane.batches.go_live(claims)
        lane.worker.report(LeftForLive(count=len(claims)))
