"""Rows as a table for people: aligned columns, figures to the right, text that steers no terminal."""

import json
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any

from producer.output.terminal import terminal_text

_GAP = "  "


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int]) -> Iterator[str]:
    r"""Lay rows out under their header; the columns numbered in `right`, from 0, end at one edge.

    >>> print(*table(["model", "cost"], [["opus", "$0.94"], ["é", "$10.00"]], right={1}), sep="\n")
    model    cost
    opus    $0.94
    é      $10.00
    """
    shown = [[terminal_text(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(_width, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (
            f"{' ' * (widths[n] - _width(cell))}{cell}" if n in right else f"{cell}{' ' * (widths[n] - _width(cell))}"
            for n, cell in enumerate(row)
        )
        yield _GAP.join(cells).rstrip()


def found_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lay out what a query found: a column of numbers to the right, the unknown as NULL."""
    numbers = {n for n in range(len(columns)) if all(_is_number(row[n]) for row in rows if row[n] is not None)}
    return table(columns, [["NULL" if cell is None else plain(cell) for cell in row] for row in rows], right=numbers)


def plain(value: Any) -> str:
    r"""Write a value of a query as a plain text: no exponent, no float's noise, bytes as hex.

    >>> plain(Decimal("1E-7")), plain(1e-07), plain(True), plain(b"\x00\xff"), plain([1, None])
    ('0.0000001', '0.0000001', 'true', '\\x00ff', '[1, null]')
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() | Decimal():
            return f"{Decimal(str(value)):f}"
        case bytes():
            return f"\\x{value.hex()}"
        case list():
            return as_json(value)
    return str(value)


def as_json(value: Any) -> str:
    """Write a value of a query as JSON; a number keeps all of its digits, and one that JSON has no word for is text.

    >>> as_json([Decimal("0.940000000"), "a", None, float("nan")])
    '[0.940000000, "a", null, "NaN"]'
    """
    match value:
        case list() | tuple():
            return f"[{', '.join(map(as_json, value))}]"
        case bool() | None | int():
            return json.dumps(value)
        case float() | Decimal() if Decimal(str(value)).is_finite():
            return plain(value)
    return json.dumps(plain(value))


def json_object(columns: Sequence[str], row: Sequence[Any]) -> str:
    """Write a row as one JSON object; of columns that share a name, the second is name_2.

    >>> json_object(["day", "cost", "cost"], ["2026-11-24", 1, 2])
    '{"day": "2026-11-24", "cost": 1, "cost_2": 2}'
    """
    names = [name if (n := columns[:at].count(name)) == 0 else f"{name}_{n + 1}" for at, name in enumerate(columns)]
    return f"{{{', '.join(f'{json.dumps(name)}: {as_json(cell)}' for name, cell in zip(names, row, strict=True))}}}"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
