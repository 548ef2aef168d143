"""An endpoint whose address takes no connection: its jobs go on elsewhere, and nobody calls there but for probes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.ports import free_port
from tests.support.sites.two_endpoints import PROMPTS, Site, running_site
from tests.support.sites.worker_site import ENGINES


@pytest.fixture(params=ENGINES)
def unreached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Run a worker that reaches nobody at the usual address, and probes that address never again."""
    base_url = f"http://127.0.0.1:{free_port()}"
    with running_site(request, tmp_path, ANTHROPIC_BASE_URL=base_url, PROBE_EVERY_S="600") as site:
        yield site


def test_an_address_that_takes_no_connection_is_left_alone(unreached: Site) -> None:
    first = unreached.plant.submit(*PROMPTS)
    assert {one.state for one in unreached.plant.finished(first)} == {"succeeded"}
    later = unreached.plant.submit(*PROMPTS)
    assert {one.state for one in unreached.plant.finished(later)} == {"succeeded"}
    assert {row["endpoint"] for row in unreached.plant.attempts(later)} == {"cloud"}
    assert unreached.costs(later) == unreached.billed(later)
