"""A model before admission control, wherever its script runs."""

import pytest

from tests.support.plays.admission_scripts import Clock, Door, in_memory, in_redis


@pytest.fixture
def clock() -> Clock:
    """Give a clock that passes when it is told to."""
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def door(request: pytest.FixtureRequest, clock: Clock) -> Door:
    """Give a model before admission control that knows nothing yet."""
    if request.param == "memory":
        return Door(in_memory(clock), clock)
    return Door(in_redis(request.getfixturevalue("redis_url"), clock), clock)
