"""The official SDK reads the simulator's usage and cost report; what it adds up is the purchase log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import anthropic
import pytest
from anthropic import Anthropic

from producer.simulator.process import RunningSimulator, SimulatorError, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

OPUS, HAIKU = "claude-opus-4-7", "claude-haiku-4-5-20251001"
_NANO_PER_CENT = 10_000_000


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """Give each test purchases of its own."""
    with running_simulator() as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[Anthropic]:
    """Build a client that never retries by itself."""
    with Anthropic(api_key="key", base_url=simulator.url, max_retries=0) as api:
        yield api


def _buy(client: Anthropic, *models: str, words: str = "Three bridges were closed before dawn.") -> None:
    for model in models:
        client.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": words}])


def _range(**more: Any) -> dict[str, Any]:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "starting_at": today - timedelta(days=1),
        "ending_at": today + timedelta(days=2),
        "time_bucket_width": "1d",
        **more,
    }


def _usage(client: Anthropic, **more: Any) -> list[Any]:
    return list(client.beta.organization.analytics.usage.list(**_range(**more)))


def _costs(client: Anthropic, **more: Any) -> list[Any]:
    return list(client.beta.organization.analytics.cost.list(**_range(**more)))


def test_tokens_and_cents_are_those_of_the_purchase_log(client: Anthropic, simulator: RunningSimulator) -> None:
    _buy(client, OPUS, OPUS, HAIKU)
    bought = simulator.purchases()
    usage = {row.group.model: row.usage for row in _usage(client, group_by=["model"])}
    assert usage[OPUS].uncached_input_tokens == sum(p["usage"]["input_tokens"] for p in bought[:2])
    assert (usage[OPUS].requests, usage[HAIKU].requests) == (2, 1)
    assert usage[HAIKU].output_tokens == bought[2]["usage"]["output_tokens"]
    (total,) = _costs(client)
    nano = sum(purchase["billed_nano_usd"] for purchase in bought)
    assert Decimal(total.cost.amount) * _NANO_PER_CENT == nano
    assert (total.cost.currency, total.cost.requests) == ("USD", 3)


def test_each_kind_of_token_has_its_own_cost_and_they_add_up(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'ok'\nweb_searches = 2\n")
    _buy(client, OPUS)
    rows = _costs(client, group_by=["model", "token_type"])
    cents = {(row.group.cost_type, row.group.token_type): Decimal(row.cost.amount) for row in rows}
    usage = simulator.purchases()[0]["usage"]
    assert cents["tokens", "uncached_input_tokens"] == Decimal(usage["input_tokens"]) * 5 / 10_000
    assert cents["tokens", "output_tokens"] == Decimal(usage["output_tokens"]) * 25 / 10_000
    assert cents["web_search", None] == 2
    assert sum(cents.values()) * _NANO_PER_CENT == simulator.purchases()[0]["billed_nano_usd"]
    assert {row.cost.requests for row in rows} == {None}


def test_what_was_not_billed_is_not_in_the_report(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 529\n")
    with pytest.raises(anthropic.OverloadedError):
        _buy(client, OPUS)
    assert (_usage(client), _costs(client)) == ([], [])


def test_days_and_models_come_page_by_page(client: Anthropic) -> None:
    _buy(client, OPUS, HAIKU, "claude-sonnet-4-6")
    page = client.beta.organization.analytics.cost.list(**_range(group_by=["model"], limit=1))
    assert (len(page.data), page.has_more, page.data_refreshed_at is not None) == (1, True, True)
    assert len(list(page)) == 3
    assert {row.starting_at.hour for row in page} == {0}


def test_tier_and_region_are_told_apart_where_asked_for(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'geo_us'\ntimes = 1\n")
    _buy(client, OPUS, OPUS)
    rows = _usage(client, group_by=["service_tier", "inference_geo"])
    assert {(row.group.service_tier, row.group.inference_geo) for row in rows} == {
        ("standard", "us"),
        ("standard", "global"),
    }


def test_a_pass_over_another_model_is_billed_and_reported_at_that_model(
    client: Anthropic, simulator: RunningSimulator
) -> None:
    simulator.set_script(
        "[[rules]]\nanswer = 'ok'\niterations = ["
        "{type = 'compaction', input_tokens = 1000, output_tokens = 10},"
        "{type = 'advisor_message', model = 'claude-opus-4-8', input_tokens = 2000, output_tokens = 20}]\n"
    )
    _buy(client, HAIKU)
    (bought,) = simulator.purchases()
    kinds = [(entry["type"], entry.get("model")) for entry in bought["usage"]["iterations"]]
    assert kinds == [("message", None), ("compaction", None), ("advisor_message", "claude-opus-4-8")]
    own = bought["usage"]["input_tokens"] * 1_000 + bought["usage"]["output_tokens"] * 5_000
    # 1,000 x $1 + 10 x $5 on haiku, 2,000 x $5 + 20 x $25 on opus
    assert bought["billed_nano_usd"] == own + 1_050_000 + 10_500_000
    usage = {row.group.model: row.usage for row in _usage(client, group_by=["model"])}
    assert usage["claude-opus-4-8"].uncached_input_tokens == 2000
    assert usage[HAIKU].uncached_input_tokens == bought["usage"]["input_tokens"] + 1000
    (total,) = _costs(client)
    assert Decimal(total.cost.amount) * _NANO_PER_CENT == bought["billed_nano_usd"]


def test_a_report_may_be_behind(client: Anthropic, simulator: RunningSimulator) -> None:
    _buy(client, OPUS)
    simulator.set_script("report_behind_s = 3600\n")
    assert _usage(client) == []
    with pytest.raises(SimulatorError, match="'report_behind_s': -1 is wrong; right is seconds, 0 or more"):
        simulator.set_script("report_behind_s = -1\n")


def test_another_key_has_bought_nothing(client: Anthropic) -> None:
    _buy(client, OPUS)
    assert len(_usage(client, api_key_ids=["apikey_simulator"])) == 1
    assert _usage(client, api_key_ids=["apikey_other"]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_bucket_width": "1h"}, "time_bucket_width"),
        ({"group_by": ["actor"]}, "group_by"),
        ({"limit": 1001}, "limit"),
        ({"starting_at": datetime(2026, 1, 1)}, "timezone"),  # noqa: DTZ001 - that is the mistake
        ({"starting_at": datetime(2026, 1, 1, tzinfo=UTC)}, "at most 31 days"),
        ({"speeds": ["fast"]}, "not permitted"),
    ],
)
def test_what_the_report_does_not_take_is_refused(client: Anthropic, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        _usage(client, **changes)


def test_a_report_needs_the_beta_header_and_a_key(simulator: RunningSimulator, client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.get("/v1/organizations/analytics/usage", cast_to=object)
    address = f"{simulator.url}/v1/organizations/analytics/cost"
    with pytest.raises(HTTPError) as caught, urlopen(address):  # noqa: S310 - loopback
        pass
    with caught.value as refused:
        assert refused.code == 401
