"""The simulator that the tests of a file share."""

from collections.abc import Iterator

import pytest

from producer.simulator.process import RunningSimulator, running_simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """Start one process for all tests of a file; each sets its own script."""
    with running_simulator() as running:
        yield running
