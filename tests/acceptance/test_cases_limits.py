"""Strangers' cases of small limits and of a long answer, each as its README says; two of them wait for minutes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.valkey import running_valkey
from tests.support.shared_cases import Case, running_case

_WORDS = "word " * 17_000


@contextmanager
def _case(folder: Path, **variables: str) -> Iterator[Case]:
    folder.mkdir()
    with running_valkey(folder) as url, running_case(folder, url, **variables) as case:
        yield case


def _file(folder: Path, prompts: list[str]) -> Path:
    path = folder / "docs.csv"
    path.write_text("id,text\n" + "".join(f"d{number},{text}\n" for number, text in enumerate(prompts)))
    return path


def _long_answer(folder: Path) -> None:
    """Play an answer of 130 s at default settings."""
    with _case(folder / "long", CALL_TIMEOUT_S="") as case:
        case.begin("long_answer")
        file = _file(folder / "long", ["Write a long report about rivers."])
        answers = case.ended(case.submitted(file, "--max-tokens", "32000"), within_s=200)
        assert [(answer.model, answer.outcome) for answer in answers.values()] == [("claude-opus-4-7", "answered")]
        assert len(case.calls()) == 1


def _near_the_limit(folder: Path) -> None:
    """Play documents of 17,000 tokens under a limit of 20,000 a minute."""
    with _case(folder / "near") as case:
        case.begin("tpm_near")
        answers = case.ended(case.submitted(_file(folder / "near", [f"{_WORDS}{n}" for n in range(3)])), within_s=200)
        assert {answer.state for answer in answers.values()} == {"succeeded"}


def test_a_long_answer_is_one_call_and_documents_near_the_limit_all_end(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for played in [pool.submit(play, tmp_path) for play in (_long_answer, _near_the_limit)]:
            played.result()


def test_generous_max_tokens_under_small_limits_stop_no_batch(tmp_path: Path) -> None:
    with _case(tmp_path / "large") as case:
        case.begin("otpm_large_max")
        batch = case.submitted(_file(tmp_path / "large", ["Sum up."] * 60), "--max-tokens", "32000")
        answers = case.ended(batch, within_s=100)
        assert {answer.state for answer in answers.values()} == {"succeeded"}
        assert sum(call["status"] == 429 for call in case.calls()) <= 9


def test_a_document_above_every_limit_is_told_so(tmp_path: Path) -> None:
    with _case(tmp_path / "above") as case:
        case.begin("tpm_near")
        batch = case.submitted(_file(tmp_path / "above", [_WORDS + _WORDS]))
        answers = case.ended(batch, within_s=60)
        assert {answer.outcome for answer in answers.values()} == {"over_limit"}
        assert "no model of the chain takes more than 20,000 a minute" in case.story(batch)
