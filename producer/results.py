"""Writes answers out: as JSON lines, as CSV for a spreadsheet, or exactly as the vendor's message batch."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias, assert_never

from models.answer import Answer
from models.errors import InputError
from models.outcome import OPEN_STATES, Outcome, State
from producer.cells import csv_cell, json_line
from producer.terminal import plain_stdout

Format: TypeAlias = Literal["jsonl", "csv", "anthropic"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "anthropic")

OWN_COLUMNS = ("id", "text", "model", "fallback_depth", "stop_reason", "cost_usd", "error")
_CLASHING = re.compile(rf"(input_)*({'|'.join(OWN_COLUMNS)})")
_ERROR_TYPES: Mapping[str, str] = {
    Outcome.BAD_REQUEST: "invalid_request_error",
    Outcome.TOO_LONG: "invalid_request_error",
    Outcome.TOO_LARGE: "invalid_request_error",
    Outcome.UNAUTHORIZED: "authentication_error",
    Outcome.SPEND_LIMIT: "billing_error",
    Outcome.MODEL_MISSING: "not_found_error",
    Outcome.RATE_LIMITED: "rate_limit_error",
    Outcome.RAMP_LIMITED: "rate_limit_error",
    Outcome.OVERLOADED: "overloaded_error",
    Outcome.TIMED_OUT: "timeout_error",
}


def write(answers: Iterable[Answer], *, format: Format, out: TextIO) -> None:  # noqa: A002 - the option's own name
    """Write the answers to `out`, a UTF-8 text stream that leaves line ends alone (newline="").

    jsonl and anthropic write as they read; csv reads all answers first, since its header names every column.
    The vendor's format has no word for a job that has not ended: such an answer is left out of it.
    """
    match format:
        case "jsonl":
            out.writelines(own_lines(answers))
        case "csv":
            _write_csv([_row(answer) for answer in answers], out)
        case "anthropic":
            out.writelines(message_batch_lines(answers))
        case _:
            assert_never(format)


def message_batch_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Write each answer whose job has ended as a line of the vendor's message-batch results."""
    for answer in answers:
        if answer.state not in OPEN_STATES:
            yield json_line({"custom_id": answer.id, "result": _result(answer)})


def own_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Write each answer as a line of ours: the input's own columns, then what came of it."""
    return (json_line(_row(answer)) for answer in answers)


def write_to(path: Path | None, answers: Iterable[Answer], *, format: str) -> None:  # noqa: A002 - as above
    """Write the answers to a file, or to stdout where `path` is None. Raises InputError for an unknown format."""
    if format not in FORMATS:
        raise InputError(
            f"{format!r} is not a format; right is {', '.join(FORMATS)}", source="results", field="--format"
        )
    if path is None:
        with plain_stdout() as stdout:
            write(answers, format=format, out=stdout)
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            write(answers, format=format, out=out)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", source=str(path)) from None


def _row(answer: Answer) -> dict[str, str | int | None]:
    """Lay out one answer: the input's own columns, then ours."""
    return {
        **{_input_name(name): value for name, value in answer.columns.items()},
        "id": answer.id,
        "text": answer.text,
        "model": answer.model,
        "fallback_depth": answer.fallback_depth,
        "stop_reason": answer.stop_reason,
        "cost_usd": None if answer.cost_usd is None else format(answer.cost_usd, "f"),
        "error": answer.error,
    }


def _input_name(column: str) -> str:
    """Rename a column of the input that is called like one of ours, or like one so renamed.

    >>> _input_name("text"), _input_name("input_text"), _input_name("title")
    ('input_text', 'input_input_text', 'title')
    """
    return f"input_{column}" if _CLASHING.fullmatch(column) else column


def _write_csv(rows: list[dict[str, str | int | None]], out: TextIO) -> None:
    columns = dict.fromkeys(name for row in rows for name in row if name not in OWN_COLUMNS)
    header = [*columns, *OWN_COLUMNS]
    writer = csv.writer(out)
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(row.get(name)) for name in header] for row in rows)


def _result(answer: Answer) -> dict[str, Any]:
    if answer.message is not None:
        return {"type": "succeeded", "message": dict(answer.message)}
    if answer.state is State.CANCELLED:
        return {"type": "canceled"}
    if answer.outcome == "expired":
        return {"type": "expired"}
    kind = _ERROR_TYPES.get(answer.outcome, "api_error") if answer.outcome else "api_error"
    message = answer.error or f"job {answer.job_id} ended as {answer.outcome or answer.state}, without an answer"
    return {"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": message}}}
