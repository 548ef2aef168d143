"""How a day's jobs fared that started at one model."""

from dataclasses import dataclass
from decimal import Decimal

UNRELIABLE, DEGRADED, OK = "primary unreliable", "degraded", "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of `v_primary_health`. Shares are from 0 to 1, of the jobs that succeeded that day.

    `verdict` is UNRELIABLE, DEGRADED, OK, or `too few jobs` to tell.
    """

    start_model: str
    jobs: int
    mean_depth: Decimal
    share_depth_0: Decimal
    share_depth_2plus: Decimal
    verdict: str

    @property
    def is_alarming(self) -> bool:
        """Tell whether a person should look at that model."""
        return self.verdict in {UNRELIABLE, DEGRADED}

    def in_words(self) -> str:
        """Say it in one line.

        >>> half = Decimal("0.5")
        >>> Verdict(start_model="claude-opus-4-7", jobs=140, mean_depth=half, share_depth_0=Decimal("0.4"),
        ...         share_depth_2plus=half, verdict=UNRELIABLE).in_words()
        'claude-opus-4-7 is unreliable today: of 140 jobs that start there 60% fell back, 50% two rungs or more'
        """
        fell = f"{1 - self.share_depth_0:.0%} fell back, {self.share_depth_2plus:.0%} two rungs or more"
        word = self.verdict.removeprefix("primary ")
        return f"{self.start_model} is {word} today: of {self.jobs} jobs that start there {fell}"
