"""Column kinds take nothing that would be lost on the way, and give it back the same."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Dialect, make_url

from models.schema.columns import EscapedJSON, NanoUSD, UTCDateTime

_DIALECTS: list[Dialect] = [make_url(url).get_dialect()() for url in ("sqlite://", "postgresql+psycopg://")]
_BOTH = pytest.mark.parametrize("dialect", _DIALECTS, ids=["sqlite", "postgres"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@_BOTH
@given(nano=st.integers(-(2**63), 2**63 - 1))
def test_money_is_whole_nano_dollars_there_and_back(dialect: Dialect, nano: int) -> None:
    usd = NanoUSD().process_result_value(nano, dialect)
    assert usd == Decimal(nano).scaleb(-9)
    assert NanoUSD().process_bind_param(usd, dialect) == nano


@pytest.mark.parametrize("finer", ["0.0000000001", "1.2345678901", "NaN"])
def test_money_finer_than_a_nano_dollar_is_refused_never_rounded(finer: str) -> None:
    with pytest.raises(ValueError, match="nano-dollar"):
        NanoUSD().process_bind_param(Decimal(finer), _DIALECTS[0])


@_BOTH
@given(hours=st.integers(-12, 14), at=st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - given its zone below
def test_a_time_of_any_zone_comes_back_as_the_same_instant_in_utc(dialect: Dialect, hours: int, at: datetime) -> None:
    aware = at.replace(tzinfo=timezone(timedelta(hours=hours)))
    back = UTCDateTime().process_result_value(UTCDateTime().process_bind_param(aware, dialect), dialect)
    assert back == aware
    assert back is not None
    assert back.tzinfo is UTC


@_BOTH
def test_a_time_without_a_zone_is_refused(dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        UTCDateTime().process_bind_param(datetime(2026, 1, 1), dialect)  # noqa: DTZ001 - the mistake


@_BOTH
@given(value=_JSON)
def test_json_is_kept_as_ascii_and_comes_back_the_same(dialect: Dialect, value: object) -> None:
    text = EscapedJSON().process_bind_param(value, dialect)
    assert text is None or (text.isascii() and "\0" not in text)
    assert EscapedJSON().process_result_value(text, dialect) == value


@_BOTH
def test_nothing_stays_nothing(dialect: Dialect) -> None:
    for kind in (NanoUSD(), UTCDateTime(), EscapedJSON()):
        assert kind.process_bind_param(None, dialect) is None
        assert kind.process_result_value(None, dialect) is None
