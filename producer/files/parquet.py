"""Rows of a Parquet file as records, each cell the text that CSV would have; and answers as a Parquet file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from reprlib import repr as shown
from typing import Any, BinaryIO
from uuid import UUID

from models.errors import InputError
from producer.files.formats import Record, Records, check_columns

_ROWS_AT_ONCE = 1000
_BYTES_AT_ONCE = 1 << 20
# A time to the nanosecond, beyond the year 9999 or in no known zone; bytes that are not UTF-8.
_WITHOUT_VALUE = (ValueError, OverflowError, KeyError)


def read_parquet(file: BinaryIO, source: str, needed: Sequence[tuple[str, str]] = ()) -> Records:
    """Read a record from each row; its `line` is the row's number from 1. NULL is an empty text.

    `needed` is as in `read_csv`. Raises InputError for what is no Parquet, and without pyarrow.
    """
    pa, parquet = _pyarrow(source)
    try:
        # Else a row group, which is often the whole file, is read before its first row is given.
        rows = parquet.ParquetFile(file, pre_buffer=False, buffer_size=_BYTES_AT_ONCE)
        check_columns(rows.schema_arrow.names, needed, source=source)
        line = 0
        for some in rows.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
            for fields in _rows(some):
                line += 1
                yield _record(fields, source, line)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: in a column's name
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"cannot be read as Parquet: {said[0]}", source=source) from None


def write_parquet(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], kinds: Mapping[str, str], path: Path
) -> None:
    """Write rows to a file; `kinds` names the columns that are not text: integer or usd."""
    pa, parquet = _pyarrow("results")
    types = {"integer": pa.int64(), "usd": pa.decimal128(28, 9)}
    schema = pa.schema([(name, types.get(kinds.get(name, ""), pa.string())) for name in columns])
    left = iter(rows)
    with path.open("wb") as out, parquet.ParquetWriter(out, schema, store_decimal_as_integer=False) as writer:
        while some := list(islice(left, _ROWS_AT_ONCE)):
            arrays = [pa.array([row.get(field.name) for row in some], type=field.type) for field in schema]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _pyarrow(source: str) -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - large, and of an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        problem = "parquet needs pyarrow: pip install 'stepdown[parquet]', or take another format"
        raise InputError(problem, source=source) from None
    return pa, parquet


def _rows(some: Any) -> list[dict[str, Any]]:
    """Read a record batch; a cell that Python has no value for stays Arrow's own, which has no text."""
    try:
        rows: list[dict[str, Any]] = some.to_pylist()
    except _WITHOUT_VALUE:
        names, columns = some.schema.names, some.columns
        return [dict(zip(names, map(_value, cells), strict=True)) for cells in zip(*columns, strict=True)]
    return rows


def _value(cell: Any) -> Any:
    try:
        return cell.as_py()
    except _WITHOUT_VALUE:
        return cell


def _record(fields: Mapping[str, Any], source: str, line: int) -> Record | InputError:
    texts: dict[str, str] = {}
    for name, value in fields.items():
        text = value if isinstance(value, str) else _text(value)
        if text is None:
            problem = f"{shown(value)} has no text: cast the column, or leave it out of the file"
            return InputError(problem, source=source, line=line, field=name)
        texts[name] = text
    return Record(line=line, fields=texts)


def _text(value: object) -> str | None:
    match value:
        case None:
            return ""
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case UUID():
            return str(value)
        case bool() | int() | float() | list() | dict():
            with suppress(TypeError):
                return json.dumps(value, ensure_ascii=False, default=_told)
    return None


def _told(value: object) -> str:
    text = _text(value)
    if text is None:
        raise TypeError
    return text
