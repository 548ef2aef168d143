"""What every test has: a printed seed, a clean environment, no network, and real servers where it asks for them."""

import os
import random
import secrets
import signal
from pathlib import Path

import hypothesis
import pytest

from models.settings import Settings
from producer.simulator import process
from tests.support.sites import warm_start

pytest_plugins = ("tests.support.servers.fixtures",)

_UNIT = Path(__file__).parent / "unit"
_SEED = pytest.StashKey[int]()

# A slow machine is no mistake of the code's, and a failure is repeated by its seed, not by a hidden file.
hypothesis.settings.register_profile("stepdown", deadline=None, database=None, max_examples=50)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("stepdown"), max_examples=10)
hypothesis.settings.load_profile("stepdown")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the seed of an earlier run."""
    parser.addoption("--seed", type=int, help="repeat the random choices of an earlier run")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed and the sockets before the plugins that use them look."""
    given = config.getoption("--seed")
    config.stash[_SEED] = config.option.seed = secrets.randbelow(2**32) if given is None else given  # and the others'
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(config.stash[_SEED])
    config.option.allow_hosts = "127.0.0.1,::1,localhost"
    config.option.allow_unix_socket = True  # asyncio wakes its own loop through one
    vars(process)["Popen"] = warm_start.Popen
    # A shell that starts us in the background has us, and all we start, ignore Ctrl-C: no test could send it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Run one more than there are cores: tests of whole processes wait more than they compute."""
    return (os.cpu_count() or 1) + 1


def pytest_report_header(config: pytest.Config) -> str:
    """Print what repeats this run."""
    return f"seed: {config.stash[_SEED]} (repeat with --seed={config.stash[_SEED]})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave unit tests no socket at all."""
    for item in items:
        if item.path.is_relative_to(_UNIT):
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Give the number every random choice of this run comes from."""
    return pytestconfig.stash[_SEED]


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest, seed: int) -> None:
    random.seed(f"{seed} {request.node.nodeid}")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
