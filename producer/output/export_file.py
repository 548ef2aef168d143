"""Writes the ledger's rows to a file, CSV or Parquet, whole or not at all."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from producer.output.atomic_file import replacing
from producer.output.cells import csv_cell
from producer.output.terminal import terminal_text

if TYPE_CHECKING:
    from models.accounting.exports import Kind

FORMATS = ("csv", "parquet")
_ROWS_AT_ONCE = 10_000


def write(rows: Iterable[Sequence[Any]], fields: "Mapping[str, Kind]", *, path: Path, format: str) -> int:  # noqa: A002 - the option's own name
    """Write rows as `fields` lay them out; returns how many. Until the last one is written, `path` is as it was.

    Money is exact in both: decimal text in CSV, decimal128 in Parquet. Raises InputError for an unknown format, a file
    that cannot be written, and Parquet without pyarrow.
    """
    if format not in FORMATS:
        raise InputError(f"{format!r} should be {' or '.join(FORMATS)}", source="ledger export", field="--format")
    if path.name in {"", "-"} or (path.exists() and not path.is_file()):
        shown = terminal_text(str(path))
        raise InputError("is no file: name one, new or old", source="ledger export", field=f"-o {shown!r}")
    with replacing(path) as part:
        return _csv(rows, fields, part) if format == "csv" else _parquet(rows, fields, part)


def _csv(rows: Iterable[Sequence[Any]], fields: "Mapping[str, Kind]", path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(fields)
        for row in rows:
            writer.writerow([_text(value) for value in row])
            count += 1
    return count


def _text(value: Any) -> str:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return f"{value.replace(tzinfo=None).isoformat()}Z"
    return csv_cell(value)


def _parquet(rows: Iterable[Sequence[Any]], fields: "Mapping[str, Kind]", path: Path) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - large, and of an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "parquet needs pyarrow: pip install 'stepdown[parquet]', or take --format csv", source="ledger export"
        ) from None
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
    with parquet.ParquetWriter(path, schema, store_decimal_as_integer=False) as writer:
        while some := list(islice(left, _ROWS_AT_ONCE)):
            columns = zip(*some, strict=True)
            arrays = [pa.array(column, type=kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(some)
    return count
