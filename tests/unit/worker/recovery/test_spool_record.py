"""A reply that is written down is read again as it was."""

import json
from dataclasses import replace
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.job.values import SpooledReply
from models.money.pricing import Parts
from tests.support.ledgers.job_values import broken, closing, failing, message, parked, succeeded, unknown
from worker.recovery.spool_record import from_line, to_line


def _kept(text: str) -> SpooledReply:
    end = succeeded(message=message(text), given_up={0: "overloaded"}, is_truncated=True)
    return SpooledReply(
        job_id="job-1", token=3, closing=closing("attempt-1", cost_usd=Decimal("0.000000001")), ending=end
    )


@pytest.mark.parametrize(
    "kept",
    [
        _kept("Bridges are closed."),
        replace(_kept(""), ending=None),
        replace(_kept(""), closing=closing("attempt-1", parts=Parts(input=Decimal("0.004"), output=Decimal("0.006")))),
        replace(_kept(""), ending=parked(3)),
        SpooledReply(job_id="job-1", token=1, closing=unknown("attempt-1"), ending=None),
        SpooledReply(job_id="job-1", token=1, closing=broken("attempt-1"), ending=None),
        SpooledReply(job_id="job-1", token=1, closing=failing("attempt-1", retry_after_ms=7), ending=parked(0)),
    ],
)
def test_every_kind_of_end_comes_back(kept: SpooledReply) -> None:
    line = to_line(kept)
    assert line.endswith(b"\n")
    assert from_line(line) == kept


@given(st.text(st.characters(codec=None)))
def test_any_text_comes_back_in_one_line(text: str) -> None:
    line = to_line(_kept(text))
    assert line.count(b"\n") == 1
    assert from_line(line) == _kept(text)


def _line(reported: object) -> bytes:
    text = json.dumps(reported).encode()
    checksum = blake2b(text, digest_size=8).hexdigest().encode()
    return text.removesuffix(b"}") + b',"checksum":"' + checksum + b'"}\n'


def _reported() -> dict[str, Any]:
    reported: dict[str, Any] = json.loads(to_line(_kept("")))
    del reported["checksum"]
    return reported


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"[]\n", b"{}\n", b"\xff\n", to_line(_kept("")).replace(b"1", b"2")])
def test_a_line_whose_checksum_is_not_its_own_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="checksum"):
        from_line(line)


@pytest.mark.parametrize("reported", [{"v": 2}, {"v": 2, "ending": []}, _reported() | {"token": {}, "closing": 1}])
def test_a_whole_line_that_is_no_reply_says_so(reported: object) -> None:
    with pytest.raises(ValueError, match="another program wrote it"):
        from_line(_line(reported))


def test_a_line_is_json_whose_last_field_is_the_checksum() -> None:
    line = to_line(_kept(""))
    assert json.loads(line) == _reported() | {"checksum": line[-19:-3].decode()}


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_not_guessed_at(version: int) -> None:
    with pytest.raises(ValueError, match=f"version {version}, this worker reads 2"):
        from_line(_line(_reported() | {"v": version}))
