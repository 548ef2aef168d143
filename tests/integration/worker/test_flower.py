"""Flower shows model, depth and cost of a job, to whoever has the password, on this machine only."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import psutil
import pytest

from models.job.values import Unsent
from models.queue.broker import Broker
from tests.support.eventually import eventually
from tests.support.sites.worker_site import FLOWER_PASSWORD, Plant, one_test, running_flower, running_plant

_PROMPT = "canary-of-the-prompt: ten harbours were dredged in spring."


@pytest.fixture(scope="module", params=["sqlite"])  # Flower never sees the ledger
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("flower")) as plant:
        yield plant


@pytest.fixture(scope="module")
def flower(whole: Plant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Run one Flower; gives its process id and its port."""
    log = tmp_path_factory.mktemp("flower") / "flower.log"
    with running_flower(whole.variables, log) as where:
        yield where


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend the worker to one test."""
    with one_test(whole) as plant:
        yield plant


def _ask(port: int, path: str, *, password: str | None = FLOWER_PASSWORD) -> tuple[int, bytes]:
    headers = {}
    if password is not None:
        headers["authorization"] = f"Basic {base64.b64encode(f'stepdown:{password}'.encode()).decode()}"
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def _succeeded(port: int, job_id: str) -> dict[str, Any] | None:
    task: dict[str, Any] = json.loads(_ask(port, "/api/tasks")[1]).get(job_id, {})
    return task if task.get("state") == "SUCCESS" else None


def test_a_finished_job_shows_its_model_depth_and_cost_and_no_prompt(plant: Plant, flower: tuple[int, int]) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    batch, answer = plant.answered(_PROMPT)
    task = eventually(lambda: _succeeded(flower[1], answer.job_id), within_s=20, because="Flower heard of the job")
    assert task["result"].strip("'") == f"sonnet-4-6 d1 ${answer.cost_usd:.4f}"
    pages = [_ask(flower[1], path) for path in ("/api/tasks", f"/task/{answer.job_id}", "/tasks")]
    assert [status for status, _ in pages] == [200, 200, 200]
    assert b"sonnet-4-6 d1" in pages[1][1]
    for _, page in pages:
        assert b"canary" not in page
        assert (answer.text or "?").encode() not in page
    assert len(plant.attempts(batch)) == 2


def test_a_job_that_is_rung_for_twice_shows_its_end_and_not_the_second_delivery(
    plant: Plant, flower: tuple[int, int]
) -> None:
    _, answer = plant.answered(_PROMPT)
    dropped = f"job {answer.job_id}: delivery dropped".encode()
    before = plant.worker_log.read_bytes().count(dropped)
    with closing(Broker(plant.variables["REDIS_URL"])) as broker:
        broker.send([Unsent(id=answer.job_id, rung=0)])
    eventually(
        lambda: plant.worker_log.read_bytes().count(dropped) > before, within_s=20, because="the delivery is dropped"
    )
    _, last = plant.answered(_PROMPT)
    eventually(lambda: _succeeded(flower[1], last.job_id), within_s=20, because="Flower heard of the job after it")
    after = _succeeded(flower[1], answer.job_id)
    assert after is not None
    assert after["result"].strip("'") == f"opus-4-7 d0 ${answer.cost_usd:.4f}"


@pytest.mark.parametrize("path", ["/", "/tasks", "/workers", "/broker", "/api/tasks", "/api/workers"])
@pytest.mark.parametrize("password", [None, "wrong"])
def test_without_the_password_nothing_is_shown(flower: tuple[int, int], path: str, password: str | None) -> None:
    assert _ask(flower[1], path, password=password)[0] == 401


def test_it_listens_on_this_machine_only(flower: tuple[int, int]) -> None:
    listening = [one for one in psutil.Process(flower[0]).net_connections() if one.status == psutil.CONN_LISTEN]
    assert [(one.laddr.ip, one.laddr.port) for one in listening] == [("127.0.0.1", flower[1])]


def test_its_password_is_not_on_the_command_line(flower: tuple[int, int]) -> None:
    assert FLOWER_PASSWORD not in " ".join(psutil.Process(flower[0]).cmdline())
