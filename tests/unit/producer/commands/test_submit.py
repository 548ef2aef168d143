"""What `stepdown submit` does beside submitting: bad lines, tags, hints."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.chain.chain import Chain
from models.errors import InputError, InputMistakes
from models.job.task_kinds import JobTerms
from producer.client import Batch
from producer.commands.submit import hints, opened_either, tags
from producer.files.prompts import Judge, PromptFile
from producer.files.record_to_prompt import ReadOptions
from producer.prompt.start_rung import misplaced

CHAIN = Chain(models=("big", "small"), starts={"sum": 1})


@contextmanager
def opened(path: Path, *, skip_bad: bool = False) -> Iterator[PromptFile]:
    with opened_either(str(path), ReadOptions(), mapping=None, skip_bad=skip_bad) as prompts:
        assert isinstance(prompts, PromptFile)
        yield prompts


def refused_in(path: Path, *, task: str | None = None) -> list[str]:
    with opened(path) as prompts:
        try:
            assert list(replace(prompts, judge=_judge_of(task)).prompts())
        except InputMistakes as refused:
            return [str(mistake) for mistake in refused.mistakes]
    return []


def _judge_of(task: str | None) -> Judge:
    return partial(misplaced, chain=CHAIN, task=task, terms=lambda _: JobTerms())


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
    printed = list(hints(batch(is_new=False), "a key"))
    assert printed == ["the same prompts were submitted under 'a key' before: nothing is bought again"]


def test_a_batch_that_was_not_sent_is_told_why_and_that_it_is_kept() -> None:
    (printed,) = hints(batch(not_sent="the broker is away"), None)
    assert printed.startswith("accepted and kept, but not sent yet (the broker is away);")


def test_many_prompts_are_told_with_their_rate_and_few_are_not() -> None:
    assert list(hints(batch(accepted=9_999, took_s=1.0), None)) == []
    assert list(hints(batch(accepted=1_000_000, took_s=50.0), None)) == [
        "1,000,000 prompts were read and accepted in 50.0 s (20,000/s)"
    ]


def test_models_of_another_vendor_are_told_once_and_only_some() -> None:
    (printed,) = hints(batch(), None, ignored={"gpt-4o", "o3", "gpt-5", "o\x1b4"})
    assert printed.startswith(r"the lines name 'gpt-4o', 'gpt-5', 'o\x1b4' and 1 more: not in MODEL_CHAIN, so ignored;")


def test_lines_left_out_of_an_open_file_are_listed_as_they_are_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines(tmp_path / "a.jsonl", {"x": 1}, {"prompt": "Why?", "id": "a"}, {"prompt": "How?", "id": "a"})
    with opened(path, skip_bad=True) as prompts:
        assert [prompt.text for prompt in prompts.prompts()] == ["Why?"]
    printed = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].split(": ")[0] for line in printed] == [f"{path}:1", f"{path}:3"]


def test_an_open_file_of_nothing_but_bad_lines_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"x": 1})
    with opened(path, skip_bad=True) as prompts, pytest.raises(InputMistakes) as refused:
        next(prompts.prompts())
    assert str(refused.value) == f"{path}: holds nothing but bad lines\nnothing was queued"


def test_an_id_that_comes_twice_in_an_open_file_is_found_behind_its_last_line(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"prompt": "Why?", "id": "2"}, {"prompt": "How?"}, {"prompt": "Who?", "id": "2"})
    with opened(path) as prompts:
        given = prompts.prompts()
        assert [next(given).text for _ in range(3)] == ["Why?", "How?", "Who?"]
        with pytest.raises(InputMistakes) as refused:
            next(given)
    assert str(refused.value).splitlines() == [
        f"{path}:2: id: missing, and its position, 2, is the id of line 1; give every prompt an id",
        f"{path}:3: id: '2' is the id of line 1 already; ids are unique in a batch",
        "nothing was queued",
    ]


def test_only_the_first_of_very_many_mistakes_are_kept(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *[{"x": number} for number in range(500)])
    with opened(path) as prompts, pytest.raises(InputMistakes) as refused:
        next(prompts.prompts())
    assert len(refused.value.mistakes) == 20
    assert str(refused.value).splitlines()[-2:] == ["and 480 more", "nothing was queued"]


def test_a_model_that_is_not_in_the_chain_is_a_mistake_of_its_line(tmp_path: Path) -> None:
    asked = {"max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}
    params = [{"model": model, **asked} for model in ("big", "huge", "small", "tiny")]
    path = lines(tmp_path / "a.jsonl", *({"custom_id": one["model"], "params": one} for one in params))
    assert refused_in(path) == [
        f"{path}:2: params.model: 'huge' is not in MODEL_CHAIN (big, small)",
        f"{path}:4: params.model: 'tiny' is not in MODEL_CHAIN (big, small)",
    ]
    assert refused_in(path, task="sum") == [], "the task says where"
