"""What a chaos run came to, as values and as a table."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.invariants import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    `refused` submissions met a ledger that was away: nothing was accepted. `by_older` attempts were made by the worker
    of the version before. `untold` jobs have a story that does not add up; `stories` are those most worth reading.
    """

    seed: int
    faults: Mapping[str, int]
    refused: int
    healed_s: float
    found: Findings
    after_release: Findings
    by_older: int
    leaks: tuple[str, ...]
    story: str
    untold: tuple[str, ...]
    stories: str

    def table(self) -> str:
        """Lay it out for a person."""
        found, again = self.found, self.after_release
        rows = [
            ("seed", self.seed),
            *((name.replace("_", " "), count) for name, count in self.faults.items()),
            ("faults injected", sum(self.faults.values())),
            ("jobs", found.jobs),
            ("  succeeded", found.succeeded),
            ("  held for a person", found.held),
            ("submissions refused", self.refused),
            ("attempts (rows)", found.attempts),
            ("  by the older version", self.by_older),
            ("  of unknown cost", found.unknown_costs),
            ("  at half price", found.half_price),
            ("purchases", found.purchases),
            ("doubles", found.doubles),
            ("losses", found.losses),
            ("seconds to heal", f"{self.healed_s:.1f}"),
            ("after release: succeeded", again.succeeded),
            ("  bought again, recorded", again.rebuys),
        ]
        wrong = "".join(f"  WRONG {message}\n" for message in (*found.wrong, *again.wrong, *self.leaks, *self.untold))
        return "".join(f"  {what:<28}{figure:>10}\n" for what, figure in rows) + wrong
