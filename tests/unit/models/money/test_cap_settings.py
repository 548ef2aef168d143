"""Caps are read exactly, or refused with what would be right."""

from decimal import Decimal

import pytest

from models.errors import SettingsError
from models.job.values import Claim
from models.money.cap_settings import parse_caps, usd
from models.settings import load_settings
from tests.support.ledgers.job_values import PARAMS, SPAN
from worker.fallback.caps import Caps


def test_caps_by_task_and_by_tag_are_read_exactly() -> None:
    assert parse_caps("TASK_CAPS_USD", "summarize:5, a:b:0.000000001,") == {
        "summarize": Decimal(5),
        "a:b": Decimal("0.000000001"),
    }
    assert parse_caps("TAG_CAPS_USD", "team=media:20") == {"team=media": Decimal(20)}
    assert parse_caps("TAG_CAPS_USD", "") == {}


@pytest.mark.parametrize(
    ("variable", "text", "fix"),
    [
        ("TASK_CAPS_USD", "summarize", "write name:usd"),
        ("TASK_CAPS_USD", ":5", "write name:usd"),
        ("TASK_CAPS_USD", "a:1,a:2", "a is named twice"),
        ("TASK_CAPS_USD", "a:0", "above 0"),
        ("TASK_CAPS_USD", "a:nan", "should be USD"),
        ("TASK_CAPS_USD", "a:1_000", "should be USD"),
        ("TASK_CAPS_USD", "a:\N{ARABIC-INDIC DIGIT ONE}", "should be USD"),
        ("TAG_CAPS_USD", "team:5", "should be tag=value"),
        ("TAG_CAPS_USD", "=media:5", "should be tag=value"),
    ],
)
def test_a_wrong_cap_is_named_with_what_would_be_right(variable: str, text: str, fix: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_caps(variable, text)
    (mistake,) = refused.value.mistakes
    assert mistake.variable == variable
    assert fix in mistake.fix


def test_settings_name_every_wrong_cap_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(env_file=None, day_cap_usd="-1", task_caps_usd="a", tag_caps_usd="b:1", over_cap="stop")
    assert {mistake.variable for mistake in refused.value.mistakes} == {
        "DAY_CAP_USD",
        "TASK_CAPS_USD",
        "TAG_CAPS_USD",
        "OVER_CAP",
    }


def test_an_amount_is_no_finer_than_a_nano_dollar() -> None:
    assert usd("0.000000001") == Decimal("1e-9")
    with pytest.raises(ValueError, match="at most 9 decimals"):
        usd("0.0000000001")


def _claim(**changes: object) -> Claim:
    fields: dict[str, object] = {
        "job_id": "j",
        "batch_id": "b",
        "prompt_id": "1",
        "task": "summarize",
        "token": 1,
        "params": PARAMS,
        "span": SPAN,
        "rung": 0,
        "given_up": {},
        "rounds": 0,
        "attempt_count": 0,
        "deadline_s": 60.0,
        "tags": {"team": "media", "desk": "city"},
    }
    return Claim(**(fields | changes))  # type: ignore[arg-type]


def test_a_job_is_under_the_caps_of_its_batch_task_tags_and_day_in_the_order_of_their_scopes() -> None:
    caps = Caps(
        day_usd=Decimal(9),
        by_task={"summarize": Decimal(5), "synthesize": Decimal(6)},
        by_tag={"team=media": Decimal(7), "team=sport": Decimal(8)},
    )
    found = caps.over(_claim(has_cap=True))
    assert [(cap.scope, cap.cap_usd, cap.is_daily) for cap in found] == [
        ("batch:b", None, False),
        ("day", Decimal(9), True),
        ("tag:team=media", Decimal(7), True),
        ("task:summarize", Decimal(5), True),
    ]
    assert Caps().over(_claim()) == ()


def test_a_call_in_a_tree_is_under_that_trees_cap_for_good() -> None:
    (cap,) = Caps(tree_usd=Decimal(2)).over(_claim(tree="run-7"))
    assert (cap.scope, cap.cap_usd, cap.is_daily) == ("tree:run-7", Decimal(2), False)
    assert Caps(tree_usd=Decimal(2)).over(_claim()) == Caps().over(_claim(tree="run-7")) == ()


def test_a_callers_cap_goes_with_its_batch_and_that_of_the_worker_comes_before_it() -> None:
    tags = {"caller": "airflow", "caller_day_cap_usd": "5", "team": "media"}
    claim = _claim(tags=tags)
    assert [(cap.scope, cap.cap_usd) for cap in Caps().over(claim)] == [("tag:caller=airflow", Decimal(5))]
    own = Caps(by_tag={"caller=airflow": Decimal(2)})
    assert [(cap.scope, cap.cap_usd) for cap in own.over(claim)] == [("tag:caller=airflow", Decimal(2))]
    for none in ("", "much", "-1"):
        assert Caps().over(_claim(tags={**tags, "caller_day_cap_usd": none})) == ()
