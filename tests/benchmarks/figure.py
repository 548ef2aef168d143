"""A measured figure beside its target."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a run; the target is the most, or with `is_least` the least, that is wanted."""

    name: str
    value: float
    target: float
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target if self.is_least else self.value <= self.target

    def __str__(self) -> str:
        """Return one line for people."""
        bound = f"{'>=' if self.is_least else '<='} {self.target:g}"
        return f"{self.name:<74}{self.value:>9.2f}   {bound:<8} {'met' if self.is_met else 'MISSED'}"


def medians(runs: Iterable[Iterable[Figure]]) -> list[Figure]:
    """Return for each figure its median over the runs."""
    by_name: dict[str, list[Figure]] = {}
    for rows in runs:
        for figure in rows:
            by_name.setdefault(figure.name, []).append(figure)
    return [
        Figure(name=name, value=median(each.value for each in all_), target=all_[0].target, is_least=all_[0].is_least)
        for name, all_ in by_name.items()
    ]
