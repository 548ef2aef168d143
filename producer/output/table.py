"""Draws rows as a table: by rich at a terminal, as plain aligned columns elsewhere. No text steers a terminal."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from producer.output.terminal import Styled, columns_of, terminal_text, width_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
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
    drops: Sequence[int] = (),
    is_last_below: bool = False,
    out: TextIO | None = None,
) -> Iterator[str]:
    r"""Lay rows out under their header, to be written to `out` (stdout if left out); columns have numbers from 0.

    Columns in `right` end at one edge. At a terminal that is too narrow, headings fold. Next, the columns in `drops`
    go, one after the other. With `is_last_below`, the last column stands below its row. Next, cells of `folds` fold. A
    table that still does not fit has a line for each cell. A pipe gets everything, however wide.

    >>> print(*table(["model", "cost"], [["opus", "$0.94"], ["é", "$10.00"]], right={1}), sep="\n")
    model    cost
    opus    $0.94
    é      $10.00
    """
    shown = [[terminal_text(cell) for cell in row] for row in (header, *rows)]
    columns = columns_of(out or sys.stdout)
    if columns is not None:
        return _drawn(shown, columns, right=right, folds=folds, drops=drops, is_last_below=is_last_below, out=out)
    widths = _widths(shown)
    padded = (
        [(" " * (widths[n] - width_of(cell)), cell)[:: 1 if n in right else -1] for n, cell in enumerate(row)]
        for row in shown
    )
    return ("  ".join(map("".join, row)).rstrip() for row in padded)


def _drawn(
    shown: list[list[str]],
    columns: int,
    *,
    right: Collection[int],
    folds: Collection[int],
    drops: Sequence[int],
    is_last_below: bool,
    out: TextIO | None,
) -> Iterator[str]:
    from rich.console import Console  # noqa: PLC0415 - only a command that draws waits for rich

    size: dict[str, Any] = {"width": columns, "height": 25}  # without a height, rich takes a dumb terminal for 80 wide
    console = Console(file=out or sys.stdout, highlight=False, **size)
    if console.no_color:  # NO_COLOR asks for no bold either
        console = Console(file=out or sys.stdout, highlight=False, color_system=None, **size)
    kept = _kept(shown, drops, columns)
    shown = [[row[n] for n in kept] for row in shown]
    right, folds = ({kept.index(n) for n in some if n in kept} for some in (right, folds))
    is_below = is_last_below and _total(_widths(shown), 2) > columns
    notes = [row.pop() if is_below else "" for row in shown]  # the first is their heading
    if (fitted := _fitted(shown, folds, columns)) is None:
        return _cell_by_cell(
            console, [[*row, note] if is_below else row for row, note in zip(shown, notes, strict=True)]
        )
    return _row_by_row(console, shown, notes, *fitted, right=right)


def _kept(shown: list[list[str]], drops: Sequence[int], room: int) -> list[int]:
    """Return the numbers of the columns that stay, so that no cell of the others is folded if possible."""
    kept = list(range(len(shown[0])))
    for column in drops:
        if _fitted([[row[n] for n in kept] for row in shown], (), room) is None:
            kept.remove(column)
    return kept


def _row_by_row(
    console: "Console",
    shown: list[list[str]],
    notes: list[str],
    widths: list[int],
    gap: int,
    *,
    right: Collection[int],
) -> Iterator[str]:
    from rich.padding import Padding  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    for number, row in enumerate(shown):
        grid = Table.grid(padding=(0, gap))
        for n, width in enumerate(widths):
            grid.add_column(
                justify="right" if n in right else "left", vertical="top" if number else "bottom", width=width
            )
        grid.add_row(*(_cell(cell, shown[0][n], widths[n], is_head=not number) for n, cell in enumerate(row)))
        yield from _lines(console, grid)
        if number and notes[number]:
            note = _cell(f"{notes[0]}: {notes[number]}", notes[0], console.width, is_head=False)
            yield from _lines(console, Padding(note, (0, 0, 0, 4)))


def _cell_by_cell(console: "Console", shown: list[list[str]]) -> Iterator[str]:
    from rich.table import Table  # noqa: PLC0415 - as above

    names = min(max(map(width_of, shown[0])), console.width // 2)
    for number, row in enumerate(shown[1:], start=1):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=names)
        grid.add_column(width=max(1, console.width - names - 2))
        grid.add_row(_cell(f"row {number}", "", names, is_head=True), "")
        for head, cell in zip(shown[0], row, strict=True):
            grid.add_row(_cell(head, head, names, is_head=True), _cell(cell, head, console.width, is_head=False))
        yield from _lines(console, grid)


def _lines(console: "Console", what: "RenderableType") -> Iterator[str]:
    with console.capture() as drawn:
        console.print(what)
    yield from (Styled(line.rstrip()) for line in drawn.get().splitlines())


def _fitted(shown: list[list[str]], folds: Collection[int], room: int) -> tuple[list[int], int] | None:
    """Return widths that fit into `room`, and the gap between columns. Returns None if none do."""
    widths = _widths(shown)
    if _total(widths, 2) <= room:
        return widths, 2
    body = [max((width_of(row[n]) for row in shown[1:]), default=0) for n in range(len(widths))]
    words = [max(map(len, head.split()), default=0) for head in shown[0]]
    for gap, longest in _ROOM:
        fitted = [min(width, max(wide, word)) for width, wide, word in zip(widths, body, words, strict=True)]
        least = {n: max(_NARROWEST, min(longest, _longest_word(shown, n))) for n in folds if n < len(widths)}
        fitted = [min(width, room) if n in least else width for n, width in enumerate(fitted)]
        while _total(fitted, gap) > room and (wide := {n: fitted[n] for n in least if fitted[n] > least[n]}):
            fitted[max(wide, key=wide.__getitem__)] -= 1
        if _total(fitted, gap) <= room:
            return fitted, gap
    return None


def _widths(shown: list[list[str]]) -> list[int]:
    return [max(map(width_of, column)) for column in zip(*shown, strict=True)]


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
