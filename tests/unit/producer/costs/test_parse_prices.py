"""Prices that a person writes are read exactly, or refused with every mistake, its place and what would be right."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import InputError, InputMistakes
from models.money.pricing import DERIVED, KINDS, Price, Rates
from producer.costs.parse_prices import price_from_options, prices_from_file

_TODAY = date(2026, 11, 25)
_RATE = st.decimals(min_value=0, max_value=1_000_000, places=6)

_FILE = """
[[price]]
model = "claude-opus-4-7"
from = 2026-12-01
input = 4.5
output = 22
cache_read = 0.45
cache_write_5m = 5.625
cache_write_1h = "9.000001"

[[price]]
model = "claude-haiku-5-5"
from = 2027-01-01
input = 0.1
output = 0.5
[[price.above]]
tokens = 200_000
input = 1
output = 5
[[price.above]]
tokens = 100_000
input = 0.5
output = 2.5
cache_read = 0.04
"""


def _read(folder: Path, text: str) -> list[Price]:
    path = folder / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return prices_from_file(path, today=_TODAY)


def _option(above: list[str] | None = None, day: str | None = None, **rates: str) -> Price:
    return price_from_options("mine", rates, above=above or [], day=day, today=_TODAY)


def _mistakes(error: InputMistakes, folder: Path) -> list[str]:
    *reported, end = str(error).replace(f"{folder}/", "").splitlines()
    assert end == "nothing was set"
    return reported


def test_a_file_gives_each_price_its_day_its_five_rates_and_its_tiers(tmp_path: Path) -> None:
    opus, haiku = _read(tmp_path, _FILE)
    assert (opus.model, opus.valid_from, opus.tiers) == ("claude-opus-4-7", date(2026, 12, 1), ())
    given = ("4.5", "22", "0.45", "5.625", "9.000001")
    assert opus.rates == Rates(**dict(zip(KINDS, map(Decimal, given), strict=True)))
    assert opus.source == "prices set on 2026-11-25 from 2026-12-01 on"
    assert [above for above, _ in haiku.tiers] == [100_000, 200_000]
    assert (haiku.tiers[0][1].cache_read, haiku.tiers[0][1].cache_write_1h) == (Decimal("0.04"), Decimal(1))
    assert haiku.rates_for(200_001).output == 5
    assert haiku.source == f"prices set on 2026-11-25 from 2027-01-01 on{DERIVED}"


def test_options_give_one_price_from_today_with_derived_cache_rates(tmp_path: Path) -> None:
    price = _option(input="1", output="5")
    assert price == _read(tmp_path, '[[price]]\nmodel = "mine"\ninput = 1\noutput = 5')[0]
    assert (price.valid_from, price.rates.cache_read, price.rates.cache_write_1h) == (
        _TODAY,
        Decimal("0.1"),
        Decimal(2),
    )
    assert price.source.endswith(DERIVED)


def test_tiers_are_given_as_options_too() -> None:
    price = _option(["200000:2:10", "100000:1.5:7:0.1:2:3"], day="2026-12-01", input="1", output="5")
    assert [above for above, _ in price.tiers] == [100_000, 200_000]
    assert price.tiers[0][1] == Rates(
        input=Decimal("1.5"),
        output=Decimal(7),
        cache_read=Decimal("0.1"),
        cache_write_5m=Decimal(2),
        cache_write_1h=Decimal(3),
    )
    assert price.tiers[1][1].cache_write_5m == Decimal("2.5")


def test_rates_that_are_all_given_are_not_called_derived() -> None:
    every = dict.fromkeys(KINDS, "1")
    assert DERIVED not in _option(None, None, **every).source
    assert DERIVED in _option(["1000:2:10"], None, **every).source


@given(rates=st.tuples(*[_RATE] * len(KINDS)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example writes the file anew
def test_a_number_in_a_file_never_becomes_a_float(tmp_path: Path, rates: tuple[Decimal, ...]) -> None:
    written = "\n".join(f"{kind} = {rate:f}" for kind, rate in zip(KINDS, rates, strict=True))
    (price,) = _read(tmp_path, f'[[price]]\nmodel = "mine"\n{written}')
    assert [getattr(price.rates, kind) for kind in KINDS] == list(rates)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("input = nan", "input: 'NaN' should be from 0 to 1000000 USD"),
        ("input = inf", "input: 'Infinity' should be from 0 to 1000000 USD"),
        ("input = -1", "input: '-1' should be from 0"),
        ("input = true", "input: should be a number of USD per million tokens"),
        ('input = "one"', "input: 'one' is not a number"),
        ("input = 0.0000001", "with at most 6 decimals"),
        ("input = 1\ncache_read = []", "cache_read: should be a number"),
        ("input = 1\nfrom = 2026-12-01T00:00:00Z", "from: should be a day such as 2026-12-01"),
        ('input = 1\nfrom = "2026-12-01"', "from: should be a day such as 2026-12-01"),
        ("input = 1\ncache_reed = 1", "cache_reed: is unknown; choose from model, from, input"),
        ("input = 1\nabove = 7", "above: should be a table"),
        ("input = 1\n[[price.above]]\ntokens = 0\ninput = 1\noutput = 1", "above.tokens: should be a whole number"),
        ("input = 1\n[[price.above]]\ntokens = 9\ninput = -1\noutput = 1", "above.input: '-1' should be from 0"),
        ("input = 1\n[[price.above]]\ntokens = 9\ninput = 1", "above.output: should be a number"),
        ("input = 1\n[[price.above]]\ntokens = 9\ninput = 1\noutput = 1\nrate = 1", "above.rate: is unknown"),
        ("", "input: should be a number of USD per million tokens"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_entry_and_field(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(InputMistakes) as caught:
        _read(tmp_path, f'{_FILE}\n[[price]]\nmodel = "mine"\noutput = 1\n{wrong}')
    (reported,) = _mistakes(caught.value, tmp_path)
    assert reported.startswith("prices.toml: price 3 (mine): ")
    assert message in reported


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    again = '[[price]]\nmodel = "claude-opus-4-7"\nfrom = 2026-12-01\ninput = 1\noutput = 1'
    with pytest.raises(InputMistakes) as caught:
        _read(tmp_path, f'{_FILE}\n{again}\n[[price]]\nmodel = ""\ninput = -1\noutput = nan')
    too_fine = "should be from 0 to 1000000 USD per million tokens, with at most 6 decimals"
    assert _mistakes(caught.value, tmp_path) == [
        "prices.toml: price 3 (claude-opus-4-7): from: 2026-12-01 is given twice for this model; one day has one price",
        "prices.toml: price 4: model: should be the model's id, such as claude-opus-4-7, of at most 200 characters",
        f"prices.toml: price 4: input: '-1' {too_fine}",
        f"prices.toml: price 4: output: 'NaN' {too_fine}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[price]\n", "is no TOML: "),
        ("[[price]]\nfrom = 2026-02-30\n", "is no TOML: "),
        ("", "holds no price; each begins with [[price]]"),
        ("price = 1", "holds no price; each begins with [[price]]"),
        ("[[prices]]\n", "prices: is unknown here; each price begins with [[price]]"),
    ],
)
def test_a_file_that_is_no_list_of_prices_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"prices\.toml: ") as caught:
        _read(tmp_path, text)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        prices_from_file(tmp_path / "none.toml", today=_TODAY)
    (tmp_path / "image.toml").write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match="is no UTF-8 text"):
        prices_from_file(tmp_path / "image.toml", today=_TODAY)


@pytest.mark.parametrize(
    ("above", "message"),
    [
        ("100000", "--above: '100000': write TOKENS:INPUT:OUTPUT["),
        ("100000:1:2:3:4:5:6", "write TOKENS:INPUT:OUTPUT["),
        ("many:1:2", "--above: should be a whole number of tokens"),
        ("-1:1:2", "--above: should be a whole number of tokens"),
        ("100:nan:2", "--above input: 'nan' should be from 0"),
    ],
)
def test_a_wrong_tier_is_refused(above: str, message: str) -> None:
    with pytest.raises(InputMistakes) as caught:
        _option([above], input="1", output="5")
    assert message in str(caught.value)


def test_two_tiers_of_one_length_are_refused() -> None:
    with pytest.raises(InputMistakes, match="each only once"):
        _option(["100:1:2", "100:1:3"], input="1", output="5")


@pytest.mark.parametrize("model", ["", " mine", "mi\nne", "m" * 201])
def test_a_model_that_cannot_be_kept_is_refused(model: str) -> None:
    with pytest.raises(InputMistakes, match="MODEL: should be the model's id"):
        price_from_options(model, {"input": "1", "output": "5"}, above=[], day=None, today=_TODAY)
