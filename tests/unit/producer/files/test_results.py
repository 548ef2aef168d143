"""Writing answers: JSON lines, CSV, the vendor's message batch, and text for a terminal."""

import csv
import io
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from hypothesis import given
from hypothesis import strategies as st

from models.job.answer import Answer
from models.outcome import Outcome, State
from producer.files.results import PARQUET, TEXT_FORMATS, Format, write, write_to
from producer.output.terminal import terminal_text

ANY_TEXT = st.text(st.characters())  # halves of surrogate pairs and NUL included


def message(text: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }


def answered(text: str = "Because.", **changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "id": "a",
        "job_id": "j",
        "state": State.SUCCEEDED,
        "message": message(text),
        "model": "claude-haiku-4-5-20251001",
        "fallback_depth": 1,
        "cost_usd": Decimal("0.003150000"),
        "outcome": "answered",
    }
    return Answer(**{**fields, **changes})


def failed(outcome: str | None, error: str | None = "It said no.") -> Answer:
    return Answer(id="b", job_id="j", state=State.FAILED, outcome=outcome, error=error)


def written(*answers: Answer, form: Format) -> str:
    out = io.StringIO(newline="")
    write(answers, format=form, out=out)
    out.getvalue().encode()  # whatever was in the answer, a UTF-8 file takes it
    return out.getvalue()


def csv_rows(*answers: Answer) -> list[list[str]]:
    return list(csv.reader(io.StringIO(written(*answers, form="csv"), newline="")))


def whole_characters(text: str) -> str:
    """Join halves of surrogate pairs that stand side by side, as every JSON reader does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_a_jsonl_row_has_the_inputs_columns_first_and_costs_exactly() -> None:
    assert written(answered(columns={"title": "T"}), form="jsonl") == (
        '{"title": "T", "id": "a", "text": "Because.", "model": "claude-haiku-4-5-20251001", "fallback_depth": 1, '
        '"stop_reason": "end_turn", "cost_usd": "0.003150000", "error": null, "state": "succeeded"}\n'
    )


def test_a_job_without_an_answer_has_nulls_and_its_error() -> None:
    assert json.loads(written(failed("bad_request"), form="jsonl")) == {
        "id": "b",
        "text": None,
        "model": None,
        "fallback_depth": None,
        "stop_reason": None,
        "cost_usd": None,
        "error": "It said no.",
        "state": "failed",
    }


def test_a_cost_of_nothing_is_a_plain_number() -> None:
    line = written(answered(cost_usd=Decimal("0.000000000")), form="jsonl")
    assert json.loads(line)["cost_usd"] == "0.000000000"


def test_a_column_called_like_ours_is_renamed_and_no_two_ever_meet() -> None:
    columns = {"text": "1", "input_text": "2", "input_note": "3", "id": "4"}
    row = json.loads(written(answered(columns=columns), form="jsonl"))
    assert list(row)[:4] == ["input_text", "input_input_text", "input_note", "input_id"]
    assert (row["input_text"], row["input_input_text"], row["text"], row["id"]) == ("1", "2", "Because.", "a")


@given(st.dictionaries(st.sampled_from(["text", "id", "x", "input_id", "input_input_id", "input_x"]), st.text()))
def test_no_column_of_the_input_is_ever_lost(columns: dict[str, str]) -> None:
    row = json.loads(written(answered(columns=columns), form="jsonl"))
    assert len(row) == len(columns) + 8
    assert list(row.values())[: len(columns)] == list(columns.values())


@given(ANY_TEXT)
def test_any_answer_survives_jsonl_on_one_line(text: str) -> None:
    line = written(answered(text, columns={"c": text}), form="jsonl")
    row = json.loads(line)
    assert (row["text"], row["c"]) == (whole_characters(text), whole_characters(text))
    assert len(line.splitlines()) == 1


@given(ANY_TEXT)
def test_a_jsonl_line_steers_no_terminal(text: str) -> None:
    line = written(answered(text), form="jsonl").removesuffix("\n")
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in line)


def test_csv_has_every_column_of_every_answer_once() -> None:
    header, first, second = csv_rows(answered(columns={"a": "1"}), answered(columns={"b": "2", "a": "3"}))
    assert header == ["a", "b", "id", "text", "model", "fallback_depth", "stop_reason", "cost_usd", "error", "state"]
    assert first == [
        "1",
        "",
        "a",
        "Because.",
        "claude-haiku-4-5-20251001",
        "1",
        "end_turn",
        "0.003150000",
        "",
        "succeeded",
    ]
    assert second[:2] == ["3", "2"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001 - OWASP's list
def test_no_cell_can_run_as_a_formula(start: str) -> None:
    header, row = csv_rows(answered(f"{start}cmd()", columns={f"{start}c": f"{start}1+1"}))
    assert (header[0], row[0], row[2]) == (f"'{start}c", f"'{start}1+1", f"'{start}cmd()")


@given(ANY_TEXT)
def test_a_cell_either_begins_harmlessly_or_is_a_plain_number(text: str) -> None:
    cell = csv_rows(answered(text))[1][1]
    if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        float(cell)
    assert cell.removeprefix("'") == "".join(
        "\ufffd" if character == "\0" or "\ud800" <= character <= "\udfff" else character for character in text
    ).removeprefix("'")


@pytest.mark.parametrize("number", ["-1", "+2.50", "-3.1e-7", "12"])
def test_a_plain_number_stays_a_number(number: str) -> None:
    assert csv_rows(answered(number))[1][1] == number


def batch_result(answer: Answer) -> Any:
    line = json.loads(written(answer, form="anthropic"))
    MessageBatchIndividualResponse.model_validate(line, strict=True)
    assert line["custom_id"] == answer.id
    return line["result"]


def test_a_succeeded_result_holds_the_message_as_it_was_received() -> None:
    assert batch_result(answered()) == {"type": "succeeded", "message": message("Because.")}


@given(ANY_TEXT)
def test_any_message_survives_the_vendors_format(text: str) -> None:
    assert batch_result(answered(text))["message"]["content"][0]["text"] == whole_characters(text)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.BAD_REQUEST, "invalid_request_error"),
        (Outcome.TOO_LONG, "invalid_request_error"),
        (Outcome.TOO_LARGE, "invalid_request_error"),
        (Outcome.UNAUTHORIZED, "authentication_error"),
        (Outcome.SPEND_LIMIT, "billing_error"),
        (Outcome.MODEL_MISSING, "not_found_error"),
        (Outcome.RATE_LIMITED, "rate_limit_error"),
        (Outcome.RAMP_LIMITED, "rate_limit_error"),
        (Outcome.OVERLOADED, "overloaded_error"),
        (Outcome.TIMED_OUT, "timeout_error"),
        (Outcome.SERVER_ERROR, "api_error"),
        (Outcome.CUT, "api_error"),
        ("poison", "api_error"),
        (None, "api_error"),
    ],
)
def test_a_failed_job_is_an_errored_result_of_the_vendors_kind(outcome: str | None, kind: str) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "It said no."}}
    assert batch_result(failed(outcome)) == {"type": "errored", "error": error}


def test_an_error_without_words_tells_the_job() -> None:
    result = batch_result(failed("poison", error=None))
    assert result["error"]["error"]["message"] == "job j ended as poison, without an answer"


def test_cancelled_and_expired_jobs_are_the_vendors_canceled_and_expired() -> None:
    assert batch_result(Answer(id="c", job_id="j", state=State.CANCELLED)) == {"type": "canceled"}
    assert batch_result(failed("expired")) == {"type": "expired"}


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.WAITING])
def test_a_job_that_has_not_ended_has_no_line_in_the_vendors_format(state: State) -> None:
    assert written(Answer(id="c", job_id="j", state=state), form="anthropic") == ""


@given(ANY_TEXT)
def test_a_terminal_is_shown_text_only(text: str) -> None:
    shown = terminal_text(text)
    shown.encode()
    assert not any(
        (character < " " and character not in "\n\t") or "\x7f" <= character <= "\x9f" for character in shown
    )


def test_a_terminal_escape_is_shown_not_obeyed() -> None:
    shown = terminal_text("a\tb\n\x1b]0;title\x07\r\x9b2J\u202e é😀")
    assert shown == "a\\tb\\n\\x1b]0;title\\x07\\r\\x9b2J\\u202e é😀"


@pytest.mark.parametrize("form", [*TEXT_FORMATS, PARQUET])
def test_a_file_is_as_it_was_until_the_last_answer_is_written(tmp_path: Path, form: str) -> None:
    def lost_in_the_middle() -> Iterator[Answer]:
        yield answered()
        raise RuntimeError

    path = tmp_path / "kept"
    path.write_text("as it was", encoding="utf-8")
    with pytest.raises(RuntimeError):
        write_to(path, lost_in_the_middle(), format=form)
    assert [one.read_text(encoding="utf-8") for one in tmp_path.iterdir()] == ["as it was"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    logged = list[str]()
    reader = Thread(target=lambda: logged.append((tmp_path / "pipe").read_text(encoding="utf-8")), daemon=True)
    reader.start()
    write_to(tmp_path / "pipe", [answered()], format="jsonl")
    reader.join(timeout=10)
    assert json.loads(logged[0])["text"] == "Because."
    assert (tmp_path / "pipe").is_fifo()
