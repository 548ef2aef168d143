"""The provider's treatment of a day's jobs that started at one model."""

from dataclasses import dataclass
from decimal import Decimal

from models.rung_name import endpoint_of

UNRELIABLE, DEGRADED, OK = "primary unreliable", "degraded", "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryHealth:
    """One line of `v_primary_health`. Shares are from 0 to 1, of the jobs that succeeded that day.

    A depth counts rungs that the provider's word ended, the start rung among them. Our own limits do not count.
    `share_endpoint_out` is of jobs that left a whole endpoint. `verdict` is UNRELIABLE, DEGRADED, OK, or
    `too few jobs` for a verdict.
    """

    start_model: str
    jobs: int
    mean_depth: Decimal
    share_depth_0: Decimal
    share_depth_2plus: Decimal
    share_endpoint_out: Decimal
    verdict: str

    @property
    def is_alarming(self) -> bool:
        """Return whether a person should look at that model."""
        return self.verdict in {UNRELIABLE, DEGRADED}

    def in_words(self) -> str:
        """Return the verdict in one line.

        >>> half = Decimal("0.5")
        >>> PrimaryHealth(start_model="claude-opus-4-7", jobs=140, mean_depth=half, share_depth_0=Decimal("0.4"),
        ...         share_depth_2plus=half, share_endpoint_out=Decimal(0), verdict=UNRELIABLE).in_words()
        'claude-opus-4-7 is unreliable today: of 140 jobs that start there the provider failed 60%, 50% twice or more'
        """
        failed = f"{1 - self.share_depth_0:.0%}, {self.share_depth_2plus:.0%} twice or more"
        word = self.verdict.removeprefix("primary ")
        of_provider = self.share_endpoint_out * 2 > 1 - self.share_depth_0
        which = (
            f"{endpoint_of(self.start_model)}, the endpoint of {self.start_model}," if of_provider else self.start_model
        )
        return f"{which} is {word} today: of {self.jobs} jobs that start there the provider failed {failed}"
