"""A reply that is written down is read again as it was."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.life import Kept
from models.pricing import Parts
from tests.given import closing, failing, message, parked, succeeded, unknown
from worker.kept import from_line, to_line


def _kept(text: str) -> Kept:
    end = succeeded(message=message(text), given_up={0: "overloaded"}, is_truncated=True)
    return Kept(job_id="job-1", token=3, closing=closing("attempt-1", cost_usd=Decimal("0.000000001")), ending=end)


@pytest.mark.parametrize(
    "kept",
    [
        _kept("Bridges are closed."),
        replace(_kept(""), ending=None),
        replace(_kept(""), closing=closing("attempt-1", parts=Parts(input=Decimal("0.004"), output=Decimal("0.006")))),
        replace(_kept(""), ending=parked(3)),
        Kept(job_id="job-1", token=1, closing=unknown("attempt-1"), ending=None),
        Kept(job_id="job-1", token=1, closing=failing("attempt-1", retry_after_ms=7), ending=parked(0)),
    ],
)
def test_every_kind_of_end_comes_back(kept: Kept) -> None:
    line = to_line(kept)
    assert line.endswith(b"\n")
    assert from_line(line) == kept


@given(st.text(st.characters(codec=None)))
def test_any_text_comes_back_in_one_line(text: str) -> None:
    line = to_line(_kept(text))
    assert line.count(b"\n") == 1
    assert from_line(line) == _kept(text)


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{\n", b"[]\n", b"{}\n", b'"v"\n', b"\xff\n", to_line(_kept("")).replace(b'"token"', b'"tokens"')],
)
def test_a_line_that_is_none_of_ours_says_so(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_line(line)


def test_a_line_of_the_version_before_has_no_parts_of_its_cost() -> None:
    told = json.loads(to_line(_kept("")))
    del told["parts"]
    assert from_line(json.dumps(told).encode()) == _kept("")


def test_the_version_before_finds_nothing_in_a_closing_that_it_does_not_know() -> None:
    told = json.loads(to_line(_kept("")))
    assert "parts" not in told["closing"]


def test_a_later_version_is_not_guessed_at() -> None:
    told = json.loads(to_line(_kept(""))) | {"v": 2}
    with pytest.raises(ValueError, match="version 2, this worker reads 1"):
        from_line(json.dumps(told).encode())
