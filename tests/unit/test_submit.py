"""What `stepdown submit` does beside submitting: bad lines, tags, hints."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputError
from producer.client import Batch
from producer.load import Loaded
from producer.submit import hints, read, tags


def read_file(path: Path, *, skip_bad: bool) -> Loaded:
    return read(str(path), format=None, template=None, id_column=None, max_tokens=None, skip_bad=skip_bad)


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def batch(**changes: Any) -> Batch:
    return Batch("b", None, **{"is_new": True, **changes})  # type: ignore[arg-type]


def test_tags_are_names_and_values_and_a_value_may_hold_anything() -> None:
    assert tags(["team=media", "query=a=b", "empty="]) == {"team": "media", "query": "a=b", "empty": ""}
    assert tags([]) == {}


def test_the_last_tag_of_a_name_counts() -> None:
    assert tags(["team=media", "team=news"]) == {"team": "news"}


@pytest.mark.parametrize("pair", ["team", "=media", "", "="])
def test_a_tag_without_a_name_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(InputError) as refused:
        tags(["a=b", pair])
    assert str(refused.value) == f"submit: --tag: {pair!r} should be NAME=VALUE"


def test_a_new_batch_that_was_sent_needs_no_hint() -> None:
    assert list(hints(batch(), "a key")) == []


def test_a_known_batch_is_told_with_its_key() -> None:
    told = list(hints(batch(is_new=False), "a key"))
    assert told == ["the same prompts were submitted under 'a key' before: nothing is bought again"]


def test_a_batch_that_was_not_sent_is_told_why_and_that_it_is_kept() -> None:
    (told,) = hints(batch(not_sent="the broker is away"), None)
    assert told.startswith("accepted and kept, but not sent yet (the broker is away);")


def test_mistakes_stay_with_what_was_read(tmp_path: Path) -> None:
    loaded = read_file(lines(tmp_path / "a.jsonl", {"prompt": "Why?"}, {"prompt": ""}), skip_bad=False)
    assert (len(loaded.prompts), len(loaded.mistakes)) == (1, 1)


def test_skipped_lines_are_listed_each_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines(tmp_path / "a.jsonl", {"prompt": "Why?"}, {"prompt": ""}, {"prompt": "How?"}, {"x": 1})
    loaded = read_file(path, skip_bad=True)
    assert [prompt.text for prompt in loaded.prompts] == ["Why?", "How?"]
    assert loaded.mistakes == []
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].split(": ")[0] for line in told] == [f"{path}:2", f"{path}:4"]
    assert all(line.startswith("left out: ") for line in told)


def test_a_file_of_nothing_but_bad_lines_is_still_refused(tmp_path: Path) -> None:
    loaded = read_file(lines(tmp_path / "a.jsonl", {"prompt": ""}), skip_bad=True)
    assert (len(loaded.prompts), len(loaded.mistakes)) == (0, 1)
