"""A chain over two endpoints: jobs go on elsewhere if a provider is down or refuses the key, exact by endpoint."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from models.accounting.expected_bill import read_bills
from models.accounting.spending import Spending
from models.queue.throttles import ThrottleReader
from tests.support.sites.two_endpoints import PROMPTS, Site, running_site
from tests.support.sites.worker_site import ENGINES, OPUS, SONNET, one_test, settings_of


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run one worker for all tests of this file."""
    with running_site(request, tmp_path_factory.mktemp("two"), ON_KEY_TROUBLE="step") as site:
        yield site


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    """Lend it to one test."""
    with one_test(whole.plant):
        whole.cloud.set_script("")
        yield whole


@pytest.mark.parametrize("answer", ["529", "500"])
def test_a_provider_that_is_down_fails_and_parks_no_job(site: Site, answer: str) -> None:
    site.plant.simulator.set_script(f"[[rules]]\nanswer = '{answer}'")
    batch = site.plant.submit(*PROMPTS)
    answers = site.plant.finished(batch)
    assert {one.state for one in answers} == {"succeeded"}
    assert {one.model for one in answers} <= {f"cloud/{OPUS}", f"cloud/{SONNET}"}
    assert {row["rounds"] for row in site.plant.jobs(batch)} == {0}, "no job waits for an endpoint that is down"
    assert {(row["endpoint"], row["requested_model"].count("/")) for row in site.plant.attempts(batch)} == {
        ("anthropic", 0),
        ("cloud", 1),
    }


def test_costs_are_exact_by_endpoint_at_the_prices_of_each(site: Site) -> None:
    site.plant.simulator.set_script("[[rules]]\nanswer = '529'\ntimes = 9")
    batch = site.plant.submit(*PROMPTS)
    site.plant.finished(batch)
    assert site.costs(batch) == site.billed(batch)
    assert site.costs(batch)["cloud"] > 0
    report = Spending(site.plant.engine).sums(["endpoint"])
    assert report["cloud",].cost_usd > Decimal(0)
    assert set(report) == {("anthropic",), ("cloud",)}


def test_the_usual_provider_is_expected_to_bill_its_own_endpoint_alone(site: Site) -> None:
    site.plant.finished(site.plant.submit(*PROMPTS))
    site.plant.simulator.set_script("[[rules]]\nanswer = '529'")
    site.plant.finished(site.plant.submit(*PROMPTS))
    settings = settings_of(site.plant.variables)
    today = datetime.now(UTC).date()
    bills = read_bills(settings.database_url.get_secret_value(), today, today, settings.price_book())
    assert {"/" in bill.model for bill in bills} == {False}
    of_all = Spending(site.plant.engine).sums(["endpoint"])["anthropic",].cost_usd
    assert sum(sum(bill.usd.values()) for bill in bills) == of_all


def test_a_whole_endpoint_that_nobody_reaches_is_out_and_is_said_to_be(site: Site) -> None:
    site.plant.simulator.set_script("[[rules]]\nanswer = '529'")
    batch = site.plant.submit(*PROMPTS)
    site.cloud.set_script("[[rules]]\nmodel = 'opus'\nanswer = '529'")
    site.plant.finished(batch)
    settings = settings_of(site.plant.variables)
    reader = ThrottleReader(site.plant.variables["REDIS_URL"], namespace=settings.namespace, chain=settings.chain)
    (out,) = [one for one in reader.read() if one.reason == "endpoint_out"]
    assert out.models == (OPUS, SONNET)
    assert "endpoint anthropic is out of rotation" in site.plant.worker_log.read_text(encoding="utf-8")


def test_a_refused_key_sends_jobs_to_another_endpoint_by_the_operators_choice(site: Site) -> None:
    site.plant.simulator.set_script("[[rules]]\nanswer = 401")
    batch = site.plant.submit(*PROMPTS)
    answers = site.plant.finished(batch)
    assert {(one.state, one.model) for one in answers} == {("succeeded", f"cloud/{OPUS}")}
    assert {row["given_up"].get("2") for row in site.plant.jobs(batch)} <= {None, "unauthorized", "paused"}
