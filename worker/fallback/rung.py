"""The values of one rung: the constant inputs, the call, and the result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.chain.deadline import Deadline
from models.chain.fallback_rules import CLIMBING
from models.job.values import Claim, Closing, Opening
from models.outcome import Reason
from worker.admission.admission import Request
from worker.admission.cache_warmup import CachedPrefix
from worker.fallback.collaborators import Collaborators
from worker.fallback.decision import ChainPosition, Decision, Policy
from worker.provider.reply import Failure, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class RungResult:
    """The result of one rung: the position, the end of the attempt, and the decision.

    Without an attempt, `closing` is None, and `end` is None or the last attempt's. Then `skip_reason` names the
    cause, and `message` becomes the job's error if the job ends or waits. `reason` and `details` are those of the
    decision. The rung may be free in `wait_s`.
    """

    place: ChainPosition
    decision: Decision
    end: Reply | Failure | None = None
    closing: Closing | None = None
    depth: int = 0
    skip_reason: str = ""
    message: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    wait_s: float | None = None

    @property
    def cause(self) -> str:
        """Return the word for the cause of the decision: of the skip, or the outcome of the attempt."""
        return self.skip_reason or str(self.end and self.end.outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class RungContext:
    """The constant inputs of one rung.

    `reason` and `number` are those of the attempt that the rung may make. `last` is the last attempt of this walk.
    """

    claim: Claim
    place: ChainPosition
    policy: Policy
    worker: Collaborators
    reason: Reason
    number: int
    last: RungResult | None = None

    @property
    def model(self) -> str:
        """Return the model of the rung."""
        return self.policy.chain.models[self.place.rung]

    @property
    def is_climb(self) -> bool:
        """Return whether the job climbs for a better answer. A refusal that goes down the chain is no climb."""
        last = self.last
        has_climbed = last is not None and last.end is not None and last.end.outcome in CLIMBING
        return has_climbed and last is not None and self.place.rung <= last.place.rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way.

    `claim` has the parameters that are sent, without the mark for the cache. `spot` is the cache of the mark; None: the
    request has no mark. `headers` are the version of the API and the betas.
    """

    claim: Claim
    opening: Opening
    request: Request
    deadline: Deadline
    headers: Mapping[str, str]
    spot: CachedPrefix | None = None
