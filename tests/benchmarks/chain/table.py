"""Prints a table: one row a side, targets below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how a row's cell is written, and what the issue asks of ours."""

    head: str
    cell: Callable[[Mapping[str, Any]], str]
    target: str


def lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[str]:
    """Write rows under their heads, with the targets as the last line.

    >>> for line in lines([{"side": "ours", "n": 1}], [Column("calls", lambda row: str(row["n"]), "<= 1")]):
    ...     print(line)
    side    calls
    ours        1
    target   <= 1
    """
    table = [
        ["side", *(column.head for column in columns)],
        *([row["side"], *(column.cell(row) for column in columns)] for row in rows),
        ["target", *(column.target for column in columns)],
    ]
    widths = [max(len(cells[place]) for cells in table) for place in range(len(columns) + 1)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in table
    ]


def percent(share: float) -> str:
    """Write a share.

    >>> percent(0.9512)
    '95.1 %'
    """
    return f"{share:.1%}".replace("%", " %")


def failed_of(row: Mapping[str, Any]) -> str:
    """Write how many failed, and whether the side was stopped before its end."""
    if row["is_cut"]:
        return f"{row['failed']}, stopped at {row['makespan_s']:.0f} s with {row['succeeded']} of {row['prompts']}"
    return str(row["failed"])
