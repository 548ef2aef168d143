"""A stranger's server that sells message batches: a batch at half price through it, by a worker as it is."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from models.job.task_kinds import JobTerms
from producer.prompt.prompt import Prompt
from tests.support.eventually import eventually
from tests.support.servers.ports import free_port
from tests.support.sites.worker_site import working_plant

NEEDS = ("llmock==0.2.2",)
_JOBS = 5
_TIMES = {"HALF_PRICE_USUAL_S": "0", "HALF_PRICE_GRACE_S": "2", "HALF_PRICE_POLL_S": "0.5", "HALF_PRICE_LIVE_S": "20"}
_BOUGHT = "SELECT count(*) FROM attempts WHERE service_tier = 'batch' AND outcome = 'answered' AND cost_nano_usd > 0"


def is_bought_at_half_price(python: Path) -> bool:
    """Return whether all jobs of a batch are answered by one message batch of llmock, and costed."""
    with TemporaryDirectory() as folder, running_llmock(python) as url:
        where = {"ANTHROPIC_BASE_URL": f"{url}/anthropic", **_TIMES}
        return _is_bought(Path(folder, "site"), where)


def _is_bought(folder: Path, where: dict[str, str]) -> bool:
    with working_plant(folder, **where) as plant, plant.engine.connect() as connection:
        prompts = [Prompt(f"Summarize: harbour {number} was dredged.") for number in range(_JOBS)]
        batch = plant.producer.submit(prompts, terms=JobTerms(half_price=True, deadline_s=90))
        plant.finished(batch, within_s=60)
        bought = connection.exec_driver_sql(_BOUGHT).scalar_one()
        return bool(batch.progress().succeeded == _JOBS == bought)


@contextmanager
def running_llmock(python: Path) -> Iterator[str]:
    """Run llmock on a free port until the end of the block; yields its address."""
    port = free_port()
    command = [str(python.with_name("llmock")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: _answers(url), within_s=30, because="llmock listens")
            yield url
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/openapi.json", timeout=2) as response:  # noqa: S310 - a server of ours on loopback
            return bool(response.status)
    except (URLError, OSError):
        return False
