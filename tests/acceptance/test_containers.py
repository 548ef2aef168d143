"""The worker of docker-compose.yml where compose would put it: it answers jobs, or ends with a code and a reason."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from models.settings import Settings, load_settings
from producer.client import Producer
from producer.prompt.prompt import Prompt
from producer.simulator.process import running_simulator
from tests.acceptance.container import SERVICES, Container, interpolated
from tests.support.eventually import eventually
from tests.support.servers.postgres import created_cluster
from tests.support.sites.command_line import KEY, ROOT

PASSWORD = "of-the-ledgers-role"  # noqa: S105 - of a throw-away server
SITE_PACKAGES = Path(redis.__file__).parents[1]


@pytest.fixture(scope="module")
def ledger_at() -> Iterator[str]:
    """Run the Postgres of the compose file, with the role that its first start makes; yields host and port."""
    with created_cluster() as cluster, cluster.running() as server:
        psql = [str(cluster.programs / "psql"), "-v", "ON_ERROR_STOP=1", "-f", str(ROOT / "migrations" / "role.sql")]
        url, password = server.url("postgres"), {"POSTGRES_PASSWORD": PASSWORD}
        subprocess.run(
            [*psql, server.as_superuser(url)], check=True, env={**os.environ, **password}, capture_output=True
        )
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.as_superuser(url))
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def worker(ledger_at: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Fill in .env as .env.example asks for, and have the service `migrate` do its part."""
    with running_simulator() as simulator, redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        user, _, place = valkey_url.removeprefix("redis://").rpartition("@")
        dotenv = {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": simulator.url,
            "REDIS_PASSWORD": user.partition(":")[2],
            "POSTGRES_PASSWORD": PASSWORD,
            "CLOCK_TICK_S": "0.1",
            "WORKER_CONCURRENCY": "4",
            "MODEL_COSTS": "",
        }
        places = {"redis:6379": place.removesuffix("/0"), "postgres:5432": ledger_at, "redis://:": "redis://tests:"}
        state = f"--bind {tmp_path_factory.mktemp('state')}"
        worker = Container(service="worker", dotenv=dotenv, places=places, state=state)
        migrated = worker.with_(service="migrate").ends()
        assert migrated.code == 0, migrated
        yield worker


def settings_of(worker: Container) -> Settings:
    given = {name: value for name, value in worker.variables().items() if name.lower() in Settings.model_fields}
    return load_settings(env_file=None, **{name.lower(): value for name, value in given.items()})


def well_soon(worker: Container, process: subprocess.Popen[bytes], log: Path) -> None:
    ready_soon(process, log)
    eventually(lambda: worker.health().code == 0 or process.poll() is not None, within_s=60, because="it claims jobs")


def ready_soon(process: subprocess.Popen[bytes], log: Path) -> None:
    eventually(lambda: b" ready." in log.read_bytes() or process.poll() is not None, within_s=120, because="it starts")
    assert process.poll() is None, log.read_text(encoding="utf-8")


def test_the_worker_answers_its_health_check_says_so_and_ends_within_the_grace_period(
    worker: Container, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with worker.running(log) as process:
        well_soon(worker, process, log)
        with Producer(settings_of(worker)) as producer:
            batch = producer.submit([Prompt(f"Sum up chapter {number}.") for number in range(20)])
            eventually(lambda: batch.progress().is_finished, within_s=60, because="every job ends")
            assert batch.progress().succeeded == 20
        process.kill()
        process.wait()
        printed = worker.health()
        assert (printed.code, printed.out.splitlines()[1][:5]) == (4, "fail "), (
            "it proved to claim a moment ago, and is gone"
        )
    with worker.running(log) as process:
        well_soon(worker, process, log)
        process.terminate()
        assert process.wait(60) == 0, log.read_text(encoding="utf-8")


def test_a_role_that_is_no_superuser_has_the_ledger(worker: Container) -> None:
    url = worker.variables()["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        role = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(role).fetchone() == (False, False, False, False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT rolpassword FROM pg_authid")


WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "a volume that cannot be written": (
        {"state": "--bind -o ro {folder}"},
        2,
        "(Read-only file system): name a folder of yours",
    ),
    "a volume without an inode": ({"state": "-t tmpfs -o nr_inodes=1 tmpfs"}, 2, "(No space left on device)"),
    "a file in its place": ({"state": "--bind {file}"}, 2, "STATE_DIR=/var/lib/stepdown"),
    "a ledger that is away": (
        {"postgres:5432": "127.0.0.1:1"},
        4,
        "ledger postgresql+psycopg://stepdown:***@127.0.0.1",
    ),
    "a ledger without its tables": (
        {"postgres:5432/stepdown": "postgres:5432/postgres"},
        4,
        "run `stepdown db upgrade`",
    ),
    "a wrong password for Redis": ({"REDIS_PASSWORD": "wrong"}, 4, "put the right user and password into REDIS_URL"),
    "a wrong setting": ({"LEASE_S": "soon"}, 2, "settings: LEASE_S=soon: "),
    "no key": ({"ANTHROPIC_API_KEY": ""}, 2, "ANTHROPIC_API_KEY=(not set)"),
    "half an installation": ({"hidden": "packaging"}, 2, "No module named 'packaging.version': install Stepdown again"),
}


@pytest.mark.parametrize("what", WRONG)
def test_whatever_is_wrong_at_its_start_ends_the_worker_with_a_code_and_a_reason(
    worker: Container, tmp_path: Path, what: str
) -> None:
    changes, code, reason = WRONG[what]
    broken = spoiled(worker, tmp_path, changes)
    printed = broken.ends()
    assert printed.code == code, printed
    assert reason in printed.err
    assert "Traceback" not in printed.err
    assert broken.health().code != 0


def spoiled(worker: Container, folder: Path, changes: dict[str, Any]) -> Container:
    (folder / "file").touch()
    (folder / "state").mkdir()
    fields: dict[str, Any] = {"state": f"--bind {folder / 'state'}"}
    dotenv, places = dict(worker.dotenv), dict(worker.places)
    for name, value in changes.items():
        match name:
            case "state":
                fields["state"] = value.format(folder=folder / "state", file=folder / "file")
            case "hidden":
                fields["hidden"] = str(SITE_PACKAGES / value)
            case _ if name.isupper():
                dotenv[name] = value
            case _:
                places = {name: value} | {at: place for at, place in places.items() if at != name}
    return worker.with_(dotenv=dotenv, places=places, **fields)


def test_a_worker_whose_disk_is_full_claims_nothing_and_its_health_check_is_red(
    worker: Container, tmp_path: Path
) -> None:
    full = worker.with_(state="-t tmpfs -o size=1m tmpfs")
    with full.running(tmp_path / "log") as process:
        ready_soon(process, tmp_path / "log")
        assert full.health().code != 0


def test_every_setting_of_env_reaches_every_container_of_ours(worker: Container) -> None:
    every = {name.upper(): f"of {name}" for name in Settings.model_fields}
    every |= {"POSTGRES_PASSWORD": "a", "REDIS_PASSWORD": "b"}
    ours = [name for name, service in SERVICES.items() if "build" in service]
    for service in ours:
        variables = worker.with_(service=service, dotenv=every).variables()
        own = {"STATE_DIR", "REDIS_URL", "DATABASE_URL"}
        wrong = {name.upper() for name in Settings.model_fields} - own
        assert {name for name in wrong if variables.get(name) != f"of {name.lower()}"} == set()


@pytest.mark.parametrize("service", ["worker", "serve"])
def test_what_is_in_flight_has_30_seconds_more_than_drain_s_to_be_written_down(service: str) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    uncommented = dict(line.removeprefix("# ").split("=", 1) for line in example.splitlines() if "=" in line)
    for dotenv in ({}, uncommented):
        grace = interpolated(SERVICES[service]["stop_grace_period"], dotenv)
        drain = interpolated(SERVICES[service]["environment"]["DRAIN_S"], dotenv)
        assert int(grace.removesuffix("s")) >= int(drain) + 30
