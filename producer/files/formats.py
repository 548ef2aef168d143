"""From bytes to records: what each file format says on which line, before any of it is a prompt."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, TypeAlias

from models.errors import InputError

_MAX_CELL = 2**31 - 1  # csv's own limit, 131,072 characters, is smaller than many documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one line says, by field; `line` is the first one (from 1) where it spans several."""

    line: int
    fields: dict[str, Any]


Records: TypeAlias = Iterator[Record | InputError]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


from_json = json.JSONDecoder(parse_constant=_refuse_constant).decode  # without the NaN that Python's own reader takes


def read_text(file: BinaryIO, source: str) -> Records:
    """Read a prompt from each line that is not blank."""
    for line, raw in _lines(file):
        text = _decoded(raw, source, line)
        yield text if isinstance(text, InputError) else Record(line=line, fields={"prompt": text})


def read_jsonl(file: BinaryIO, source: str) -> Records:
    """Read a JSON object from each line that is not blank."""
    for line, raw in _lines(file):
        text = _decoded(raw, source, line)
        yield text if isinstance(text, InputError) else _json_record(text, source, line)


def read_csv(file: BinaryIO, source: str, needed: Sequence[tuple[str, str]] = ()) -> Records:
    """Read a row for each record below the header; the header's own separator (, ; or tab) is taken.

    `needed` pairs what asks for a column with the column's name. Raises InputError where the header lacks
    one or no row can be read at all.
    """
    start = file.tell()
    first_line = file.readline().decode(errors="replace")
    file.seek(start)
    rows = csv.reader(_csv_lines(file, source), delimiter=max(",;\t", key=first_line.count), strict=True)
    former_limit = csv.field_size_limit(_MAX_CELL)
    try:
        yield from _csv_records(_numbered(rows, source), source, needed)
    finally:
        csv.field_size_limit(former_limit)


def check_columns(
    names: Sequence[str], needed: Sequence[tuple[str, str]], *, source: str, line: int | None = None
) -> None:
    """Raise InputError where a column that is needed is not there, or two have one name."""
    counts = Counter(names)
    for asker, column in needed:
        if column not in counts:
            raise missing_column(asker, column, names, source=source, line=line)
    for name, count in counts.items():
        if count > 1:
            fix = (
                f"two columns are named {name!r}; rename one" if name else "two columns have no name; name or drop them"
            )
            raise InputError(fix, source=source, line=line)


def missing_column(asker: str, column: str, columns: Sequence[str], *, source: str, line: int | None) -> InputError:
    """Say which column is not there, and which are."""
    hint = "; rename one, or use a template" if asker == "prompt" else ""
    problem = f"no column {column!r}; the columns are {', '.join(map(repr, columns)) or 'none'}{hint}"
    return InputError(problem, source=source, line=line, field=asker)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for line, raw in enumerate(file, start=1):
        if raw.strip():
            yield line, raw.removesuffix(b"\n").removesuffix(b"\r")


def _decoded(raw: bytes, source: str, line: int) -> str | InputError:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        return InputError(problem, source=source, line=line)


def _json_record(text: str, source: str, line: int) -> Record | InputError:
    try:
        value = from_json(text)
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at character {error.colno}; write one object a line"
    except (ValueError, RecursionError) as error:
        problem = f"cannot be read as JSON: {error}"
    else:
        if isinstance(value, dict):
            return Record(line=line, fields=value)
        problem = f"is a JSON {type(value).__name__}, not an object; write one object a line"
    return InputError(problem, source=source, line=line)


def _csv_lines(file: BinaryIO, source: str) -> Iterator[str]:
    """Decode line by line, whichever of the three ends lines have."""
    ended = (raw for some in file for raw in (some.splitlines(keepends=True) if b"\r" in some else (some,)))
    for line, raw in enumerate(ended, start=1):
        text = _decoded(raw, source, line)
        if isinstance(text, InputError):
            raise text
        yield text


def _numbered(rows: Any, source: str) -> Iterator[tuple[int, list[str] | InputError]]:
    """Pair each row that is not blank with its first line: a quoted cell may hold line breaks."""
    while True:
        line = rows.line_num + 1
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


def _csv_records(
    rows: Iterator[tuple[int, list[str] | InputError]], source: str, needed: Sequence[tuple[str, str]]
) -> Records:
    line, header = next(rows, (1, []))
    if isinstance(header, InputError):
        raise header
    check_columns(header, needed if header else (), source=source, line=line)
    for line, row in rows:
        if isinstance(row, InputError):
            yield row
        elif len(row) != len(header):
            problem = f"has {len(row)} cells where the header has {len(header)}; quote cells that hold separators"
            yield InputError(problem, source=source, line=line)
        else:
            yield Record(line=line, fields=dict(zip(header, row, strict=True)))
