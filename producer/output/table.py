"""Draws rows as a table: by rich at a terminal, as plain aligned columns elsewhere. No text steers a terminal."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from producer.output.terminal import Styled, terminal_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_MOST_LINES = 8  # of a folded cell; the rest is an ellipsis
_NARROWEST = 8
_ROOM = ((2, 36), (1, 36), (1, 12))  # a gap between columns, and the longest word that is not folded with it
_STATE_COLUMNS = {"state", "outcome"}
_COLOURS: Mapping[str, Sequence[str]] = {
    "green": ("succeeded", "answered", "ok"),
    "red": ("failed", "fail"),
    "yellow": ("waiting", "held", "warn"),
    "cyan": ("running",),
}


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    folds: Collection[int] = (),
    is_last_below: bool = False,
    out: TextIO | None = None,
) -> Iterator[str]:
    r"""Lay rows out under their header, to be written to `out` (stdout if left out); columns have numbers from 0.

    Columns in `right` end at one edge. A terminal that is too narrow folds headings, then columns in `folds`; with
    `is_last_below`, the last column stands below its row there.

    >>> print(*table(["model", "cost"], [["opus", "$0.94"], ["é", "$10.00"]], right={1}), sep="\n")
    model    cost
    opus    $0.94
    é      $10.00
    """
    from rich.cells import cell_len  # noqa: PLC0415 - only a command that draws waits for rich

    shown = [[terminal_text(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    if console := _console(out or sys.stdout):
        return _drawn(console, shown, widths, right=right, folds=set(folds), is_last_below=is_last_below)
    padded = (
        [(" " * (widths[n] - cell_len(cell)), cell)[:: 1 if n in right else -1] for n, cell in enumerate(row)]
        for row in shown
    )
    return ("  ".join(map("".join, row)).rstrip() for row in padded)


def _console(out: TextIO) -> "Console | None":
    """Return the terminal behind `out`; None if there is none, or a plain one (NO_COLOR, TERM=dumb)."""
    if not out.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415 - as above

    console = Console(file=out, highlight=False)
    return None if console.no_color or console.is_dumb_terminal else console


def _drawn(
    console: "Console",
    shown: list[list[str]],
    widths: list[int],
    *,
    right: Collection[int],
    folds: set[int],
    is_last_below: bool,
) -> Iterator[str]:
    from rich.padding import Padding  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    fitted, gap = _fitted(shown, widths, folds, console.width)
    is_below = is_last_below and _total(fitted, gap) > console.width
    notes = [row.pop() if is_below else "" for row in shown]  # the first is their heading
    if is_below:
        fitted, gap = _fitted(shown, widths[:-1], folds, console.width)
    console.width = max(console.width, _total(fitted, gap))  # a line that cannot fit goes on in the next one
    for number, row in enumerate(shown):
        grid = Table.grid(padding=(0, gap))
        for n, width in enumerate(fitted):
            grid.add_column(
                justify="right" if n in right else "left", vertical="top" if number else "bottom", width=width
            )
        grid.add_row(*(_cell(cell, shown[0][n], fitted[n], is_head=not number) for n, cell in enumerate(row)))
        with console.capture() as drawn:
            console.print(grid)
            if number and notes[number]:
                note = _cell(f"{notes[0]}: {notes[number]}", notes[0], console.width, is_head=False)
                console.print(Padding(note, (0, 0, 0, 4)))
        yield from (Styled(line.rstrip()) for line in drawn.get().splitlines())


def _fitted(shown: list[list[str]], widths: list[int], folds: set[int], room: int) -> tuple[list[int], int]:
    """Return widths that fit into `room`, if any do, and the gap between columns."""
    if _total(widths, 2) <= room:
        return widths, 2
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    body = [max((cell_len(row[n]) for row in shown[1:]), default=0) for n in range(len(widths))]
    words = [max(map(len, head.split()), default=0) for head in shown[0]]
    tried = []
    for gap, longest in _ROOM:
        fitted = [min(width, max(wide, word)) for width, wide, word in zip(widths, body, words, strict=True)]
        least = {n: max(_NARROWEST, min(longest, _longest_word(shown, n))) for n in folds if n < len(widths)}
        fitted = [min(width, room) if n in least else width for n, width in enumerate(fitted)]
        while _total(fitted, gap) > room and (wide := {n: fitted[n] for n in least if fitted[n] > least[n]}):
            fitted[max(wide, key=wide.__getitem__)] -= 1
        if _total(fitted, gap) <= room:
            return fitted, gap
        tried.append((fitted, gap))
    return tried[0]


def _longest_word(shown: list[list[str]], column: int) -> int:
    return max((len(word) for row in shown for word in row[column][:1000].split()), default=0)


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _cell(cell: str, head: str, width: int, *, is_head: bool) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - as above

    most = _MOST_LINES * width
    text = Text(cell if len(cell) <= most else f"{cell[: most - 1]}\u2026", "bold" if is_head else "", overflow="fold")
    if head in _STATE_COLUMNS and not is_head:
        for colour, words in _COLOURS.items():
            text.highlight_words(words, colour)
    return text


def found_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lay out what a query found: a column of numbers to the right, the unknown as NULL."""
    numbers = {n for n in range(len(columns)) if all(_is_number(row[n]) for row in rows if row[n] is not None)}
    texts = [["NULL" if cell is None else plain(cell) for cell in row] for row in rows]
    return table(columns, texts, right=numbers, folds=set(range(len(columns))) - numbers)


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
