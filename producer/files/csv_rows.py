"""Reads rows of a CSV file as records, cut at the separator of the file."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from models.errors import InputError
from producer.files.lines import MOST_BYTES, TOO_LONG, ended_lines
from producer.files.open_source import HEAD_BYTES, head_of
from producer.files.records import Record, Records, check_columns, decoded
from producer.prompt.check_prompt import MAX_REQUEST_BYTES

_MOST_CELL = MAX_REQUEST_BYTES  # in characters; csv's own limit, 131,072, is smaller than many documents
_SEPARATORS = (",", ";", "\t", "|")
_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", r"\t": "\t", "pipe": "|", "space": " "}
_CALLED = {"\t": "tab", " ": "space"}
_SEPARATOR_LINE = re.compile(rb'"?sep=([\x20-\x7e\t])"?[ \t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)  # Excel's own
_ROWS_LOOKED_AT = 200


def separator_of(message: str) -> str:
    r"""Read a person's separator: a character, or a name. Raises ValueError.

    >>> separator_of(";"), separator_of("tab")
    (';', '\t')
    """
    found = _WORDS.get(message.lower(), message)
    if len(found) != 1 or found in '"\r\n\0':
        raise ValueError(f"{message!r} should be one character, or one of {', '.join(map(repr, _WORDS))}")
    return found


def read_csv(
    file: BinaryIO, source: str, needed: Sequence[tuple[str, str]] = (), *, separator: str, starts: int = 0
) -> Records:
    """Read a record from each row below the header; `starts` lines before the header name the separator.

    `needed` pairs the option that asks for a column with the column's name. Raises InputError if the header lacks
    such a column or no row can be read.
    """
    text = _Text(file, source, starts)
    rows = csv.reader(text, delimiter=separator, strict=True)
    former_limit = csv.field_size_limit(_MOST_CELL)
    try:
        yield from _records(_numbered(rows, text, source), source, needed, separator)
    finally:
        csv.field_size_limit(former_limit)


def separator_in(file: BinaryIO, needed: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """Return the separator of a file, by a line `sep=;` or the first rows, and the count of such lines.

    A separator whose header has the needed columns wins; then a separator that cuts all rows alike.
    """
    head = head_of(file)
    if message := _SEPARATOR_LINE.match(head):
        return message[1].decode(), 1
    text = head.decode(errors="replace")
    if len(head) == HEAD_BYTES and "\n" in text:
        text = text[: text.rindex("\n")]
    columns = {column for _, column in needed}
    return max(_SEPARATORS, key=lambda separator: _fitness(text, separator, columns)), 0


def called(separator: str) -> str:
    """Name a separator as messages do."""
    return _CALLED.get(separator, repr(separator))


def _fitness(text: str, separator: str, columns: set[str]) -> tuple[bool, bool, float, int]:
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    header, *others = [row for row in islice(rows, _ROWS_LOOKED_AT) if row] or [[]]
    is_cut = len(header) > 1
    alike = sum(len(row) == len(header) for row in others) / len(others) if others else 1.0
    return columns <= set(header), is_cut, alike if is_cut else 0.0, len(header)


class _Text:
    """Lines of a CSV file as text. A row has a bound: a quote that is never closed takes all lines behind."""

    def __init__(self, file: BinaryIO, source: str, starts: int) -> None:
        self._pieces = islice(ended_lines(file), starts, None)
        self._source, self.starts = source, starts
        self._first, self._bytes = 0, 0

    def begin(self, line: int) -> None:
        """Count from here: a row begins on this line."""
        self._first, self._bytes = line, 0

    def __iter__(self) -> Iterator[str]:
        for line, raw in self._pieces:
            text = decoded(raw, self._source, line)
            if isinstance(text, InputError):
                raise text
            self._bytes += len(raw)
            if self._bytes > MOST_BYTES:
                problem = f"{TOO_LONG}; or close a quote that was left open"
                raise InputError(problem, source=self._source, line=self._first)
            yield text


def _numbered(rows: Any, text: _Text, source: str) -> Iterator[tuple[int, list[str] | InputError]]:
    """Pair each row that is not blank with its first line: a quoted cell may hold line breaks."""
    while True:
        line = rows.line_num + 1 + text.starts
        text.begin(line)
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f'cannot be read as CSV ({error}); quote cells with " and write a quote inside as ""'
            yield line, InputError(problem, source=source, line=line)
        else:
            if row:
                yield line, row


def _records(
    rows: Iterator[tuple[int, list[str] | InputError]], source: str, needed: Sequence[tuple[str, str]], separator: str
) -> Records:
    line, header = next(rows, (1, []))
    if isinstance(header, InputError):
        raise header
    ending = "" if separator == "," else f", cut at {called(separator)} (--separator says another)"
    check_columns(header, needed if header else (), source=source, line=line, ending=ending)
    for line, row in rows:
        if isinstance(row, InputError):
            yield row
        elif len(row) != len(header):
            counts = f"has {len(row)} cells where the header has {len(header)}, cut at {called(separator)}"
            problem = f"{counts}; quote cells that hold it, or name another by --separator"
            yield InputError(problem, source=source, line=line)
        else:
            yield Record(line=line, fields=dict(zip(header, row, strict=True)))
