"""Reads rows of a Parquet file as records; each cell is the text that CSV would have."""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from reprlib import repr as shown
from typing import Any, BinaryIO
from uuid import UUID

from models.errors import InputError
from producer.files.lines import MOST_BYTES
from producer.files.records import Record, Records, check_columns
from producer.output.export_file import import_pyarrow

_ROWS_AT_ONCE = 1000
_BYTES_AT_ONCE = 1 << 20
_EXPANDED_AT_ONCE = 16 << 20
# A dictionary holds a text once for all rows: a file of 800 bytes may grow to gigabytes.
_MOST_EXPANDED = 256 << 20  # bytes of a small file once expanded; a larger file may grow to so many times its size
_MOST_TIMES = 200
_USUALLY_PACKED = 20  # times; texts by some 3 to 10
_ROW_BYTES = 64  # of memory for a row beside its texts
# A time to the nanosecond, beyond the year 9999 or in no known zone; bytes that are not UTF-8.
_WITHOUT_VALUE = (ValueError, OverflowError, KeyError)
# Arrow raises these for an impossible cast: ArrowTypeError and ArrowNotImplementedError derive from them.
_WITHOUT_TEXT = (*_WITHOUT_VALUE, TypeError, NotImplementedError)
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """The bounds of reading a file: `named` columns make prompts; `note` receives the losses in other columns."""

    source: str
    named: Collection[str]
    note: Callable[[str], None]
    most: int  # bytes of the whole file once expanded
    size: int


def read_parquet(
    file: BinaryIO,
    source: str,
    needed: Sequence[tuple[str, str]] = (),
    *,
    named: Collection[str],
    note: Callable[[str], None],
) -> Records:
    """Read a record from each row; `line` is the row's number from 1. NULL is an empty text.

    `needed` is as in `read_csv`. Only `named` columns must have a text; `note` receives the values of others that are
    left out. Raises InputError for a file that is no Parquet or expands too far, and without pyarrow.
    """
    pa, parquet = import_pyarrow(source)
    try:
        size = file.seek(0, os.SEEK_END)
        most = max(_MOST_EXPANDED, _MOST_TIMES * size)
        reading = _Reading(source=source, named=named, note=note, most=most, size=size)
        about = parquet.read_metadata(file)
        schema = about.schema.to_arrow_schema()
        check_columns(schema.names, needed, source=source)
        kept = _kept(pa, schema, reading)
        _check_sizes(about, kept, reading)
        # Else a row group, which is often the whole file, is read before the first row.
        usual = {"pre_buffer": False, "buffer_size": _BYTES_AT_ONCE}
        rows = parquet.ParquetFile(file, metadata=about, read_dictionary=_dictionaries(about), **usual)
        batches = rows.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False, columns=kept)
        yield from _records(pa, batches, reading)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: in a column's name
        message = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"cannot be read as Parquet: {message[0]}", source=source) from None


def _kept(pa: Any, schema: Any, reading: _Reading) -> list[str]:
    """List the columns to read: all but columns of bytes that no option names, since bytes have no text."""
    left = [field.name for field in schema if field.name not in reading.named and _holds_bytes(pa, field.type)]
    if left:
        reading.note(f"{', '.join(map(shown, left))} hold bytes, which do not come back with the answers")
    return [name for name in schema.names if name not in left]


def _holds_bytes(pa: Any, kind: Any) -> bool:
    types = pa.types
    is_bytes = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    inner = [kind.field(index).type for index in range(kind.num_fields)]
    return any(test(kind) for test in is_bytes) or any(_holds_bytes(pa, one) for one in inner)


def _dictionaries(about: Any) -> list[str]:
    """List the leaves that keep their dictionary, so that their values are made row by row.

    Such a dictionary holds all values of a chunk. A large chunk loses its dictionary, unless packed far too well.
    """
    leaves = {index: about.schema.column(index) for index in range(about.num_columns)}
    chunks = [about.row_group(group) for group in range(about.num_row_groups)]
    return [
        leaf.path
        for index, leaf in leaves.items()
        if leaf.physical_type == "BYTE_ARRAY" and all(_is_small(group.column(index)) for group in chunks)
    ]


def _is_small(chunk: Any) -> bool:
    size = chunk.total_uncompressed_size
    return bool(size <= MOST_BYTES // 4 or size > _USUALLY_PACKED * chunk.total_compressed_size)


def _check_sizes(about: Any, kept: Collection[str], reading: _Reading) -> None:
    """Check the sizes in the metadata against the bounds, before anything is unpacked."""
    total = about.num_rows * _ROW_BYTES
    for group in map(about.row_group, range(about.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema in kept or chunk.path_in_schema.partition(".")[0] in kept:
                total += chunk.total_uncompressed_size
                if chunk.total_uncompressed_size > MOST_BYTES * max(1, chunk.num_values):
                    problem = f"has values of more than {MOST_BYTES:,} bytes; cut them, or leave the column out"
                    raise InputError(problem, source=reading.source, field=chunk.path_in_schema)
    if total > reading.most:
        raise _too_much(reading)


def _too_much(reading: _Reading, line: int | None = None) -> InputError:
    problem = (
        f"comes to more than {reading.most:,} bytes, and the file has only {reading.size:,}: "
        "write it as several files, or as JSON lines"
    )
    return InputError(problem, source=reading.source, line=line)


def _records(pa: Any, batches: Iterable[Any], reading: _Reading) -> Records:
    line = total = 0
    for some in batches:
        for part, size in _parts(pa, some):
            if size > MOST_BYTES and part.num_rows == 1:
                line += 1
                problem = f"has {size:,} bytes, and a row has at most {MOST_BYTES:,}; split it, or leave columns out"
                yield InputError(problem, source=reading.source, line=line)
                continue
            total += size + part.num_rows * _ROW_BYTES
            if total > reading.most:
                raise _too_much(reading, line + 1)
            for fields in _rows(pa, part):
                line += 1
                yield _record(fields, line, reading)


def _parts(pa: Any, some: Any) -> Iterator[tuple[Any, int]]:
    """Halve a record batch until its rows fit into memory, or until a part is a single row."""
    size = sum(_expanded(pa, column) for column in some.columns)
    if size <= _EXPANDED_AT_ONCE or some.num_rows == 1:
        yield some, size
        return
    half = some.num_rows // 2
    for part in (some.slice(0, half), some.slice(half)):
        yield from _parts(pa, part)


def _expanded(pa: Any, column: Any) -> int:
    """Count the bytes of a column once expanded: a text counts for each row that refers to the text."""
    kind = column.type
    if pa.types.is_dictionary(kind) and pa.types.is_primitive(kind.value_type):
        return int(column.nbytes)
    if pa.types.is_dictionary(kind):
        lengths = pa.compute.binary_length(column.dictionary)
        return int(pa.compute.sum(lengths.take(column.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(_expanded(pa, field) for field in column.flatten())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _expanded(pa, column.flatten())
    if pa.types.is_map(kind):
        return _expanded(pa, column.keys) + _expanded(pa, column.items)
    return int(column.nbytes)


def _rows(pa: Any, some: Any) -> list[dict[str, Any]]:
    """Read a record batch; a cell without a value in Python stays a value of Arrow."""
    names = some.schema.names
    columns = [_durations_as_text(pa, column) for column in some.columns]
    try:
        cells = [column.to_pylist() for column in columns]
    except _WITHOUT_VALUE:
        cells = [[_value(cell) for cell in column] for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _durations_as_text(pa: Any, column: Any) -> Any:
    """Write durations as texts: Python has no durations to the nanosecond."""
    if not pa.types.is_duration(column.type):
        return column
    unit = _UNITS[column.type.unit]
    counts = column.cast(pa.int64()).to_pylist()
    return pa.array([None if count is None else _duration(Decimal(count) / unit) for count in counts], pa.string())


def _duration(seconds: Decimal) -> str:
    """Write a duration as ISO 8601 does.

    >>> _duration(Decimal("90.50")), _duration(Decimal(-3))
    ('PT90.5S', '-PT3S')
    """
    text = f"{abs(seconds):f}"
    return f"{'-' if seconds < 0 else ''}PT{text.rstrip('0').rstrip('.') if '.' in text else text}S"


def _value(cell: Any) -> Any:
    try:
        return cell.as_py()
    except _WITHOUT_VALUE:
        return cell


def _record(fields: Mapping[str, Any], line: int, reading: _Reading) -> Record | InputError:
    texts: dict[str, str] = {}
    for name, value in fields.items():
        text = value if isinstance(value, str) else _text(value)
        if text is None and name in reading.named:
            problem = f"{shown(value)} has no text: cast the column, or do not name it"
            return InputError(problem, source=reading.source, line=line, field=name)
        if text is None:
            reading.note(f"{shown(name)} holds values that have no text, which come back empty")
        texts[name] = text or ""
    return Record(line=line, fields=texts)


def _text(value: object) -> str | None:
    """Write a value as text. Returns None for a value without a text."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return value.decode()
        return None
    if isinstance(value, bool | int | float | list | dict):
        with suppress(TypeError):
            return json.dumps(value, ensure_ascii=False, default=_required_text)
        return None
    return _word(value)


def _word(value: object) -> str | None:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return _duration(Decimal(value // timedelta(microseconds=1)) / _UNITS["us"])
        case Decimal():
            return f"{value:f}"
        case UUID():
            return str(value)
    return _cast(value)


def _cast(cell: Any) -> str | None:
    """Have Arrow write a cell without a value in Python, such as a time to the nanosecond."""
    if not hasattr(cell, "cast"):
        return None  # a value of Python's whose kind has no text
    try:
        text = cell.cast("string").as_py()
    except _WITHOUT_TEXT:
        return None
    return None if text is None or "out of range" in text else str(text).replace(" ", "T", 1)


def _required_text(value: object) -> str:
    text = _text(value)
    if text is None:
        raise TypeError
    return text
