"""Writes rows as CSV or Parquet; the ledger's rows to a file, whole or not at all."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from models.errors import InputError
from producer.output.atomic_file import replacing
from producer.output.cells import csv_cell
from producer.output.terminal import terminal_text

if TYPE_CHECKING:
    from models.accounting.exports import Kind

FORMATS = ("csv", "parquet")
_SOURCE = "ledger export"
_ROWS_AT_ONCE = 10_000


def write(rows: Iterable[Sequence[Any]], fields: "Mapping[str, Kind]", *, path: Path, format: str) -> int:  # noqa: A002 - the option's own name
    """Write rows as `fields` lay them out; returns how many. Until the last row is written, `path` is as it was.

    Money is exact in both: decimal text in CSV, decimal128 in Parquet. Raises InputError for an unknown format, a file
    that cannot be written, and Parquet without pyarrow.
    """
    if format not in FORMATS:
        raise InputError(f"{format!r} should be {' or '.join(FORMATS)}", source=_SOURCE, field="--format")
    if path.name in {"", "-"} or (path.exists() and not path.is_file()):
        shown = terminal_text(str(path))
        raise InputError("is no file: name one, new or old", source=_SOURCE, field=f"-o {shown!r}")
    with replacing(path) as part:
        if format == "parquet":
            return write_parquet(rows, fields, part, source=_SOURCE)
        with part.open("w", encoding="utf-8", newline="") as out:
            return write_csv(chain([fields], rows), out) - 1


def write_csv(rows: Iterable[Iterable[Any]], out: TextIO) -> int:
    """Write rows, the header first, to a text stream that leaves line ends alone (newline=""); returns how many."""
    writer, count = csv.writer(out), 0
    for row in rows:
        writer.writerow([_text(value) for value in row])
        count += 1
    return count


def write_parquet(
    rows: Iterable[Sequence[Any]],
    fields: "Mapping[str, Kind]",
    path: Path,
    *,
    source: str,
    rows_at_once: int = _ROWS_AT_ONCE,
) -> int:
    """Write rows to a Parquet file, `rows_at_once` of them in memory; returns how many.

    Raises InputError without pyarrow.
    """
    pa, parquet = import_pyarrow(source)
    types = {
        "text": pa.string(),
        "integer": pa.int64(),
        "usd": pa.decimal128(28, 9),
        "credits": pa.decimal128(28, 7),
        "quotient": pa.decimal128(38, 12),
        "time": pa.timestamp("us", tz="UTC"),
        "day_start": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in fields.items()])
    count, left = 0, iter(rows)
    with path.open("wb") as out, parquet.ParquetWriter(out, schema, store_decimal_as_integer=False) as writer:
        while some := list(islice(left, rows_at_once)):
            columns = zip(*some, strict=True)
            arrays = [pa.array(column, type=kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(some)
    return count


def import_pyarrow(source: str) -> tuple[Any, Any]:
    """Import pyarrow with its kernels, and its Parquet module. Raises InputError if the extra is not installed."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - large, and of an extra
        import pyarrow.compute  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        problem = "parquet needs pyarrow: pip install 'stepdown[parquet]', or take another format"
        raise InputError(problem, source=source) from None
    return pa, parquet


def _text(value: Any) -> str:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return f"{value.replace(tzinfo=None).isoformat()}Z"
    return csv_cell(value)
