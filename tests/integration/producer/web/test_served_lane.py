"""A message batch through `stepdown serve`, bought in a message batch of the provider by default."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from tests.integration.worker.half_price.test_half_price import billed, costs, message_batches
from tests.support.sites.lane_site import LANE_TIMES, QUICK_API
from tests.support.sites.serve_site import Site, open_site, own_id, requests
from tests.support.sites.worker_site import ENGINES, OPUS


@pytest.fixture(scope="module", params=ENGINES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a worker and a server with the default of SERVED_BATCHES, and a task kind that is bought live."""
    folder = tmp_path_factory.mktemp("serve-lane")
    (folder / "tasks.toml").write_text("[quick]\nhalf_price = false\n", encoding="utf-8")
    given = {**LANE_TIMES, "SERVED_BATCHES": "", "TASKS_FILE": str(folder / "tasks.toml")}
    with open_site(request, folder, **given) as opened:
        opened.plant.simulator.set_script(QUICK_API)
        yield opened


def test_a_served_message_batch_is_bought_in_one_of_the_providers_at_half_the_price(site: Site) -> None:
    words = ("magma", "basalt", "pumice")
    created = site.client.messages.batches.create(requests=requests(*words))
    assert site.ended(created.id).request_counts.succeeded == 3
    results = {line.custom_id: line.result for line in site.client.messages.batches.results(created.id)}
    assert set(results) == {f"doc-{word}" for word in words}
    batch = site.plant.producer.batch(own_id(created.id))
    attempts = site.plant.attempts(batch)
    (bought,) = message_batches(site.plant)
    assert {row["message_batch_id"] for row in attempts} == {bought["id"]}
    assert (bought["size"], bought["model"], bought["state"]) == (3, OPUS, "done")
    assert costs(attempts) == billed(site.plant, attempts)
    live = site.client.messages.with_raw_response.create(**requests("magma")[0]["params"])
    magma = next(row for row in attempts if row["job_id"] == site.plant.jobs(batch)[0]["id"])
    whole = live.parse().usage
    assert Decimal(live.headers["x-stepdown-cost-usd"]) / magma["cost_nano_usd"] == 2, whole


def test_a_cancelled_message_batch_that_is_sent_again_waits_for_a_message_batch_again(site: Site) -> None:
    site.plant.simulator.set_script("[batches]\ntimes_faster = 1\ntakes_s = 3600\ncancel_s = 0\n")
    again = {"idempotency-key": "rocks/1"}
    created = site.client.messages.batches.create(requests=requests("gneiss"), extra_headers=again)
    site.client.messages.batches.cancel(created.id)
    site.plant.simulator.set_script(QUICK_API)
    assert site.client.messages.batches.create(requests=requests("gneiss"), extra_headers=again).id == created.id
    assert site.ended(created.id).request_counts.succeeded == 1
    attempts = site.plant.attempts(site.plant.producer.batch(own_id(created.id)))
    assert all(row["message_batch_id"] is not None for row in attempts)


def test_a_task_kind_without_half_price_is_bought_live_in_a_served_message_batch(site: Site) -> None:
    headers = {"x-stepdown-task": "quick"}
    created = site.client.messages.batches.create(requests=requests("slate"), extra_headers=headers)
    assert site.ended(created.id).request_counts.succeeded == 1
    (attempt,) = site.plant.attempts(site.plant.producer.batch(own_id(created.id)))
    assert (attempt["message_batch_id"], attempt["service_tier"]) == (None, "standard")


def test_half_price_and_a_deadline_as_a_time_are_taken_as_by_the_command(site: Site) -> None:
    def post(**given: Any) -> httpx2.Response:
        return httpx2.post(f"{site.url}/api/v1/batches", json={"prompts": ["Why?"], "half_price": True, **given})

    made = post(by=(datetime.now(UTC) + timedelta(hours=9)).isoformat())
    assert (made.status_code, made.json()["half_price"], made.json()["short_of_time"]) == (201, 1, None)
    soon = post(by=(datetime.now(UTC) + timedelta(seconds=5)).isoformat())
    assert soon.json()["short_of_time"].startswith("1 job goes live at the whole price")
    for given, problem in (
        ({"by": "yesterday"}, "by: 'yesterday' should be a time such as 06:00"),
        ({"by": "2020-01-01T00:00"}, "by: 2020-01-01T00:00 is past; give a time to come"),
        ({"urgent": True}, "urgent, half_price: an urgent job never waits for a message batch; give one"),
        ({"half_price": "yes"}, "half_price: "),
    ):
        refused = post(**given)
        assert (refused.status_code, problem in refused.json()["error"]["message"]) == (400, True), refused.text
