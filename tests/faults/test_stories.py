"""After any run every job can be explained: its story tells each call, and adds up to what the job cost."""

from pathlib import Path

import pytest

from tests.faults.chaos import _OPEN
from tests.faults.site import open_site
from tests.faults.stories import stories, untold
from tests.support.eventually import eventually

_BAD_DAY = """
[[rules]]
model = "opus"
answer = 529
share = 0.4
[[rules]]
model = "sonnet"
answer = "cut"
share = 0.2
[[rules]]
answer = "max_tokens"
share = 0.1
"""


@pytest.mark.parametrize("engine_name", ["sqlite", "postgres"])
def test_every_job_of_a_bad_day_can_be_explained(engine_name: str, tmp_path: Path) -> None:
    with open_site(engine_name, tmp_path, script=_BAD_DAY, latency_s=0.05, CLIMB_ON="truncated") as site:
        site.hire()
        victim = site.hire()
        site.submit(60, max_cost_usd="0.05", on_unknown="rebuy")
        eventually(lambda: site.in_flight() > 0, within_s=30, because="they are at work")
        victim.kill()
        eventually(lambda: not site.rows(_OPEN)[0]["n"], within_s=60, because="every job ends or is held")
        assert untold(site) == ()
        assert stories(site, 2).count("accepted as one of 60 jobs") == 2
