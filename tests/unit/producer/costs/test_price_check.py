"""What is wrong with prices is found, each with both figures and what would be right; what is right is not."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from models.money.price_book import GENAI_SOURCE
from models.money.pricing import Price, complete_rates
from models.settings import Settings, load_settings
from producer.costs.price_check import Known, Wrong, age_of_prices, known_to, wrong_prices
from tests.support.sites.command_line import ROOT

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_HAIKU = "claude-haiku-4-5-20251001"


def _settings(**given: str) -> Settings:
    return load_settings(env_file=None, **given)


def _wrong(known: Known | None = None, now: datetime = _NOW, **given: str) -> list[Wrong]:
    return list(wrong_prices(_settings(**given), known or Known(), now=now))


def _set(model: str, paid_in: str, paid_out: str, day: date = date(2026, 11, 1)) -> Known:
    rates = complete_rates({"input": Decimal(paid_in), "output": Decimal(paid_out)})
    return Known(dated={model: [Price(model=model, source="prices set", rates=rates, valid_from=day)]})


def test_the_settings_that_are_copied_first_are_all_right() -> None:
    example = load_settings(env_file=ROOT / ".env.example")
    assert list(wrong_prices(example, Known(), now=_NOW)) == []


def test_nothing_set_is_all_right() -> None:
    assert _wrong() == []


def test_the_price_of_haiku_3_5_for_haiku_4_5_has_a_sentence_of_its_own() -> None:
    (found,) = _wrong(model_costs=f"{_HAIKU}:0.80:4.00")
    assert (found.kind, found.model) == ("differs", _HAIKU)
    assert found.amounts["input"] == (Decimal("0.80"), Decimal(1))
    assert found.amounts["output"] == (Decimal(4), Decimal(5))
    assert found.message == (
        f"{_HAIKU}: MODEL_COSTS has input 0.8, output 4, cache_read 0.08 (derived from input), "
        f"cache_write_5m 1 (derived from input), cache_write_1h 1.6 (derived from input); {GENAI_SOURCE} says "
        "input 1, output 5, cache_read 0.1, cache_write_5m 1.25, cache_write_1h 2, in USD per million tokens. "
        f"0.80 in and 4.00 out is Claude Haiku 3.5's price, not Haiku 4.5's: write {_HAIKU}:1:5 in MODEL_COSTS, "
        "or take it out"
    )


def test_another_price_of_haiku_has_no_such_sentence() -> None:
    (found,) = _wrong(model_costs=f"{_HAIKU}:0.90:4.00")
    assert "Haiku 3.5" not in found.message


def test_cache_rates_that_were_derived_and_are_not_so_are_told_as_derived() -> None:
    (found,) = _wrong(model_costs="claude-opus-5-5:4:20")
    assert list(found.amounts) == ["cache_read"]
    assert f"cache_read 0.4 (derived from input); {GENAI_SOURCE} says cache_read 0.2" in found.message
    assert found.message.endswith("write claude-opus-5-5:4:20:0.2:5:8 in MODEL_COSTS, or take it out")


def test_cache_rates_that_were_given_are_not_called_derived() -> None:
    (found,) = _wrong(model_costs="claude-opus-5-5:4:20:0.3:5:8")
    assert "derived" not in found.message
    assert _wrong(model_costs="claude-opus-5-5:4:20:0.2:5:8") == []


def test_a_price_without_the_rates_of_long_prompts_is_told() -> None:
    (found,) = _wrong(model_costs="claude-haiku-5-5:0.1:0.5")
    assert found.amounts["output above 100000"] == (Decimal("0.5"), Decimal("2.5"))
    assert found.message.endswith("take it out of MODEL_COSTS, which has no rates for long prompts")


def test_a_price_that_was_set_is_compared_from_its_day_on() -> None:
    (found,) = _wrong(_set(_HAIKU, "2", "5"))
    assert "`stepdown prices set` has input 2, " in found.message
    assert found.message.endswith(f": `stepdown prices set {_HAIKU} --input 1 --output 5`")
    assert _wrong(_set(_HAIKU, "2", "5", date(2026, 12, 1))) == []
    assert _wrong(_set(_HAIKU, "1", "5")) == []


def test_what_would_be_right_is_a_command_with_tiers_where_there_are_some() -> None:
    (found,) = _wrong(_set("claude-haiku-5-5", "0.1", "0.5"))
    assert found.message.endswith(
        ": `stepdown prices set claude-haiku-5-5 --input 0.1 --output 0.5 --above 100000:0.5:2.5`"
    )


def test_a_price_that_model_costs_hides_is_not_compared() -> None:
    assert _wrong(_set(_HAIKU, "2", "5"), model_costs=f"{_HAIKU}:1:5") == []


def test_a_model_that_nobody_else_has_a_price_for_is_compared_with_nothing() -> None:
    assert _wrong(_set("mine", "2", "5"), model_chain="mine", model_costs="yours:1:2") == []


def test_models_of_the_chain_and_those_that_answered_need_a_price() -> None:
    known = Known(served=["claude-opus-4-7", "mine", "yours\x1b[2J"])
    in_chain, answered = _wrong(known, model_chain="claude-opus-4-7,mine")
    assert in_chain.message == (
        "mine has no price: add it to MODEL_COSTS, or `stepdown prices set mine --input USD --output USD`"
    )
    assert answered.message.startswith(
        r"yours\x1b[2J answered in the last 30 days and has no price, so its cost is unknown:"
    )


@pytest.mark.parametrize(
    ("day", "message"),
    [
        (date(2026, 9, 1), "claude-sonnet-4-5 is retired on 2026-11-30, in 90 days"),
        (date(2026, 11, 25), "claude-sonnet-4-5 is retired on 2026-11-30, in 5 days"),
        (date(2026, 11, 30), "claude-sonnet-4-5 was retired on 2026-11-30"),
        (date(2026, 12, 24), "claude-sonnet-4-5 was retired on 2026-11-30"),
    ],
)
def test_a_model_of_the_chain_that_ends_within_90_days_is_told(day: date, message: str) -> None:
    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    (found,) = _wrong(now=now, model_chain="claude-sonnet-4-5,claude-opus-4-7")
    assert (found.kind, found.model) == ("retired", "claude-sonnet-4-5")
    assert found.message.startswith(message)
    assert found.message.endswith("put another in its place in MODEL_CHAIN")


def test_a_model_that_ends_in_91_days_is_not_told_yet() -> None:
    now = datetime(2026, 8, 31, tzinfo=UTC)
    assert _wrong(now=now, model_chain="claude-sonnet-4-5-20250929,claude-opus-4-7") == []


def test_prices_older_than_60_days_are_told_with_what_their_age_is_taken_from() -> None:
    assert [one.kind for one in _wrong(now=datetime(2027, 6, 1, tzinfo=UTC))] == ["old"]
    assert age_of_prices(_NOW).startswith(
        f"{GENAI_SOURCE} does not say when it was made; the newest rate that had begun when it was installed is of "
    )
    assert age_of_prices(datetime(2001, 1, 1, tzinfo=UTC)).endswith("and no rate in it has a date")


def test_a_ledger_that_is_not_there_yet_knows_nothing_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.db"
    assert known_to(_settings(database_url=f"sqlite:///{path}"), now=_NOW) == Known()
    assert not path.parent.exists()


def test_a_ledger_that_is_none_says_why_it_could_not_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("Dear diary, " * 500, encoding="utf-8")
    known = known_to(_settings(database_url=f"sqlite:///{path}"), now=_NOW)
    assert "file is not a database" in (known.why_not or "")
