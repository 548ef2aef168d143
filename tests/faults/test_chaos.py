"""Ninety seconds of faults drawn from the seed: nothing is lost, nothing is bought twice, and it heals by itself."""

import sys
from pathlib import Path

from tests.faults.chaos import FAULTS, run


def test_under_every_fault_nothing_is_lost_and_nothing_bought_twice(tmp_path: Path, seed: int) -> None:
    outcome = run(tmp_path, seconds=90, seed=seed)
    sys.stdout.write(f"{outcome.table()}{outcome.story}")
    assert (outcome.found.wrong, outcome.after_release.wrong, outcome.leaks, outcome.untold) == ((), (), (), ())
    assert (outcome.found.losses, outcome.found.doubles) == (0, 0)
    assert set(outcome.faults) == set(FAULTS)
    assert outcome.by_older > 0, "two versions were at work side by side"
    assert outcome.found.half_price > 0
    assert outcome.after_release.held == 0
