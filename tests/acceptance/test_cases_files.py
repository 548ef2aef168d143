"""Files as people have them: each is read as it is meant, answered, and comes back whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.job.answer import Answer
from tests.support.shared_cases import CASES, Case, running_case

_TEXT = ("--template", "{text}", "--id-column", "id", "--max-tokens", "500")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Case]:
    """Run one worker for all cases of this file, and an API that answers every call."""
    with running_case(tmp_path_factory.mktemp("files"), valkey_url, path="/v1/") as case:
        case.begin("base_url_v1")
        yield case


def came_back(case: Case, file: Path, *options: str) -> tuple[dict[str, Answer], list[str]]:
    """Submit a file and wait for its end; returns its answers, and what was said beside the batch's id."""
    batch, *message = sorted(case.types("submit", file, *options).splitlines(), key=lambda line: line.count(" "))
    rows = case.ended(batch)
    assert {row.text for row in rows.values()} == {"A summary."}
    return rows, message


def test_a_header_that_lists_its_tags_does_not_decide_the_separator(case: Case) -> None:
    rows, message = came_back(case, CASES / "csv" / "header_quoted_semis.csv", *_TEXT)
    assert rows["1"].columns == {"text": "The mill burned down.", "tags (a; b; c; d)": "fire; mill"}
    assert rows["2"].columns["tags (a; b; c; d)"] == ""
    assert message == []


def test_a_first_line_that_says_the_separator_is_no_header(case: Case) -> None:
    file = CASES / "csv" / "sep_line.csv"
    rows, message = came_back(case, file, *_TEXT)
    assert [rows[one].columns["text"] for one in ("1", "2")] == [
        "The mill burned down, and was built again.",
        "A quiet year.",
    ]
    assert message == [f"{file}: cells are cut at ';', as its first line says; --separator says another"]
    rows, message = came_back(case, file, *_TEXT, "--separator", "semicolon")
    assert (len(rows), message) == (2, [])


def test_columns_that_no_prompt_is_made_of_refuse_no_parquet(case: Case) -> None:
    rows, message = came_back(case, CASES / "parquet" / "duration.parquet", *_TEXT)
    assert (rows["a"].columns["took"], message) == ("PT3S", [])
    file = CASES / "parquet" / "image_bytes.parquet"
    rows, message = came_back(case, file, *_TEXT)
    assert [rows[one].columns["text"] for one in ("a", "b")] == ["The mill", "A year"]
    assert "image" not in rows["a"].columns
    assert message == [f"{file}: 'image' hold bytes, which do not come back with the answers"]


def test_the_body_of_a_message_batch_is_submitted_as_it_is(case: Case) -> None:
    rows, message = came_back(case, CASES / "jsonl" / "object_requests.json")
    assert ([*rows], message) == (["a"], [])
    assert case.calls()[-1]["status"] == 200
