"""Writes answers as JSON lines, CSV or Parquet, or exactly as the batch results of a vendor."""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from models.errors import InputError
from models.job.answer import Answer
from models.outcome import OPEN_STATES, Outcome, State
from producer.files.openai_results import batch_output
from producer.output.atomic_file import replacing
from producer.output.cells import json_line, whole
from producer.output.export_file import write_csv, write_parquet
from producer.output.terminal import as_file, plain_stdout
from producer.prompt.row_buffer import Laid

if TYPE_CHECKING:
    from models.accounting.exports import Kind

Format: TypeAlias = Literal["jsonl", "csv", "anthropic", "openai"]
TEXT_FORMATS: tuple[Format, ...] = ("jsonl", "csv", "anthropic", "openai")
PARQUET = "parquet"
OWN_FORMATS = ("jsonl", "csv", PARQUET)  # the vendors' have no word for a job that has not ended

OWN_COLUMNS = ("id", "text", "model", "fallback_depth", "stop_reason", "cost_usd", "error", "state")
_KINDS: "Mapping[str, Kind]" = {"fallback_depth": "integer", "cost_usd": "usd"}  # all others are text
_ROWS_AT_ONCE = 1000  # of Parquet: an answer may be long
_CLASHING = re.compile(rf"(input_)*({'|'.join(OWN_COLUMNS)})")
_OUTCOMES: Mapping[str, tuple[Outcome, ...]] = {
    "invalid_request_error": (Outcome.BAD_REQUEST, Outcome.REJECTED, Outcome.TOO_LONG, Outcome.TOO_LARGE),
    "authentication_error": (Outcome.UNAUTHORIZED,),
    "billing_error": (Outcome.SPEND_LIMIT,),
    "permission_error": (Outcome.MODEL_DENIED,),
    "not_found_error": (Outcome.MODEL_MISSING,),
    "rate_limit_error": (Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED, Outcome.OVER_LIMIT),
    "overloaded_error": (Outcome.OVERLOADED,),
    "timeout_error": (Outcome.TIMED_OUT,),
}
_ERROR_TYPES: Mapping[str, str] = {outcome: kind for kind, outcomes in _OUTCOMES.items() for outcome in outcomes}


def write(answers: Iterable[Answer], *, format: Format, out: TextIO) -> None:  # noqa: A002 - the option's own name
    """Write the answers to `out`, a UTF-8 text stream that leaves line ends alone (newline="").

    CSV sets the answers aside first, since its header names every column; other formats write while reading. The
    vendors' formats have no word for a job that has not ended: such an answer is left out.
    """
    if format == "csv":
        with Laid() as rows:
            names = _laid_out(answers, rows)
            write_csv(chain([names], (map(row.get, names) for row in rows)), out)
        return
    lines = {"jsonl": own_lines, "anthropic": message_batch_lines, "openai": _openai_lines}[format]
    out.writelines(lines(answers))


def message_batch_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Write each answer whose job has ended as a line of the vendor's message-batch results."""
    return (json_line({"custom_id": answer.id, "result": _result(answer)}) for answer in _ended(answers))


def _openai_lines(answers: Iterable[Answer]) -> Iterator[str]:
    return (json_line(batch_output(answer)) for answer in _ended(answers))


def own_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Write each answer as a line of our own format: the columns of the input, then our columns."""
    return (json_line(_row(answer)) for answer in answers)


def write_to(path: Path | None, answers: Iterable[Answer], *, format: str) -> None:  # noqa: A002 - as above
    """Write the answers to a file, whole or not at all, or to stdout if `path` is None.

    Raises InputError for an unknown format, or a file that cannot be written.
    """
    if format == PARQUET:
        _write_parquet(answers, path)
        return
    if format not in TEXT_FORMATS:
        problem = f"{format!r} is not a format; right is {', '.join((*TEXT_FORMATS, PARQUET))}"
        raise InputError(problem, source="results", field="--format")
    if path is None:
        with plain_stdout() as stdout:
            write(answers, format=format, out=stdout)
        return
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file, as_file(file) as out:
        write(answers, format=format, out=out)


def _ended(answers: Iterable[Answer]) -> Iterator[Answer]:
    return (answer for answer in answers if answer.state not in OPEN_STATES)


def _row(answer: Answer) -> dict[str, str | int | None]:
    """Lay out an answer: the columns of the input, then our columns."""
    return {
        **{_input_name(name): value for name, value in answer.columns.items()},
        "id": answer.id,
        "text": answer.text,
        "model": answer.model,
        "fallback_depth": answer.fallback_depth,
        "stop_reason": answer.stop_reason,
        "cost_usd": None if answer.cost_usd is None else format(answer.cost_usd, "f"),
        "error": answer.error,
        "state": str(answer.state),
    }


def _input_name(column: str) -> str:
    """Rename a column of the input with a name of ours, or with a name that such a rename makes.

    >>> _input_name("text"), _input_name("input_text"), _input_name("title")
    ('input_text', 'input_input_text', 'title')
    """
    return f"input_{column}" if _CLASHING.fullmatch(column) else column


def _write_parquet(answers: Iterable[Answer], path: Path | None) -> None:
    if path is None:
        raise InputError("parquet is no text: name a file by -o", source="results", field="--format")
    with Laid() as rows, replacing(path) as part:
        fields = {name: _KINDS.get(name, "text") for name in _laid_out(answers, rows)}
        cells = ([_typed(name, row.get(name)) for name in fields] for row in rows)
        write_parquet(cells, fields, part, source="results", rows_at_once=_ROWS_AT_ONCE)


def _laid_out(answers: Iterable[Answer], rows: Laid) -> list[str]:
    """Set all rows aside; returns the columns that any row has, the columns of the input first."""
    columns: dict[str, None] = {}
    for answer in answers:
        row = _row(answer)
        columns |= dict.fromkeys(name for name in row if name not in OWN_COLUMNS)
        rows.add(row, characters=sum(len(value) for value in row.values() if isinstance(value, str)))
    return [*columns, *OWN_COLUMNS]


def _typed(name: str, value: Any) -> Any:
    """Return a cell for Parquet: text of whole characters, and money exact."""
    if not isinstance(value, str):
        return value
    return Decimal(value) if _KINDS.get(name) == "usd" else whole(value)


def _result(answer: Answer) -> dict[str, Any]:
    if answer.turn is not None:
        return {"type": "succeeded", "message": dict(answer.turn)}
    if answer.state is State.CANCELLED:
        return {"type": "canceled"}
    if answer.outcome == "expired":
        return {"type": "expired"}
    kind = _ERROR_TYPES.get(answer.outcome, "api_error") if answer.outcome else "api_error"
    return {"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": answer.why_none}}}
