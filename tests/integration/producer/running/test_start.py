"""`stepdown worker` and `stepdown simulate`: the processes people start, and that none is left when they end."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.sites.command_line import Stranger, end, settings_for, stranger_in


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """Run the API."""
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def me(tmp_path: Path, simulator: RunningSimulator) -> Stranger:
    """Work in an empty folder that knows the API, and neither Redis nor a database."""
    me = stranger_in(tmp_path)
    me.configure(**settings_for(simulator, WORKER_CONCURRENCY="4"))
    return me


@contextmanager
def working(me: Stranger, log: str = "worker.log") -> Iterator[psutil.Popen]:
    """Run `stepdown worker` until the end of the block; it takes jobs when the block begins."""
    path = me.folder / log
    with path.open("wb") as words:
        process = psutil.Popen(
            me.command("worker"), cwd=me.folder, env=dict(me.environment), stdout=words, stderr=words
        )
        try:
            eventually(
                lambda: b" ready." in path.read_bytes() or process.poll() is not None,
                within_s=60,
                because="the worker starts",
            )
            assert process.poll() is None, path.read_text(encoding="utf-8")
            yield process
        finally:
            end(process)


def family(process: psutil.Process) -> dict[str, psutil.Process]:
    """Find the process's descendants, by what they are."""
    found = process.children(recursive=True)
    return {("valkey" if "valkey" in " ".join(child.cmdline()) else "celery"): child for child in found}


def note(me: Stranger) -> Path:
    return me.folder / ".stepdown" / "broker.json"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0)])
def test_a_worker_brings_its_broker_answers_and_leaves_nothing_behind(
    me: Stranger, number: signal.Signals, code: int
) -> None:
    early = me.types("submit", "-", stdin="Submitted before there was a broker.\n").out.strip()
    with working(me) as worker:
        assert note(me).stat().st_mode & 0o777 == 0o600
        children = family(worker)
        assert set(children) == {"valkey", "celery"}
        assert "1/1  0 failed" in me.types("watch", early).err
        printed = me.types("submit", "tests/examples/message_batch.jsonl", "--watch")
        assert "20/20  0 failed" in printed.err
        assert "not sent yet" not in printed.err
        password = json.loads(note(me).read_text(encoding="utf-8"))["url"].split(":")[2].partition("@")[0]
        assert not [child for child in children.values() if password in " ".join(child.cmdline())]
        assert end(worker, number) == code
    gone, alive = psutil.wait_procs(list(children.values()), timeout=10)
    assert (len(gone), alive) == (2, [])
    assert not note(me).exists()
    log = (me.folder / "worker.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert password not in log


def test_a_second_worker_in_the_same_folder_shares_the_broker(me: Stranger) -> None:
    with working(me) as first:
        where = note(me).read_text(encoding="utf-8")
        with working(me, "second.log") as second:
            assert set(family(second)) == {"celery"}
            assert note(me).read_text(encoding="utf-8") == where
            assert "20/20  0 failed" in me.types("submit", "tests/examples/message_batch.jsonl", "--watch").err
        assert family(first).keys() == {"valkey", "celery"}
        assert note(me).exists()
        assert "1/1  0 failed" in me.types("submit", "-", "--watch", stdin="Why?\n").err


def test_a_worker_whose_settings_are_wrong_says_so_and_ends_with_2(me: Stranger) -> None:
    me.configure(WORKER_CONCURRENCY="none")
    printed = me.types("worker", expect=2)
    assert "settings: WORKER_CONCURRENCY=none: " in printed.err
    assert not (me.folder / ".stepdown").exists()


def test_a_worker_without_a_key_or_a_ledger_says_so_and_leaves_no_broker(me: Stranger) -> None:
    me.configure(ANTHROPIC_API_KEY="k", DATABASE_URL="postgresql://u:hidden@127.0.0.1:1/d")
    printed = me.types("worker", expect=4)
    assert "ledger postgresql+psycopg://u:***@127.0.0.1:1/d" in printed.out + printed.err
    assert "hidden" not in printed.out + printed.err
    assert not note(me).exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY=(not set)"),
        ({"DATABASE_URL": "mysql://u:p@h/d"}, "DATABASE_URL="),
        ({"CALLERS_FILE": "none.toml"}, "none.toml"),
    ],
)
def test_a_setting_that_is_found_wrong_later_ends_it_with_2_too(
    me: Stranger, wrong: dict[str, str], message: str
) -> None:
    me.configure(**{"ANTHROPIC_API_KEY": "k", **wrong})
    assert message in me.types("worker", expect=2).err


def test_a_pool_that_is_not_ours_ends_it_with_2(me: Stranger) -> None:
    assert "leave -P out" in me.types("worker", "-P", "solo", expect=2).err


def get(url: str, path: str) -> Any:
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_simulate_passes_its_options_on_and_ends_when_it_is_told(me: Stranger) -> None:
    with me.starts("simulate", "--seed", "11", "--latency-s", "0", "--log", "bought.jsonl") as process:
        assert process.stdout is not None
        word, url, *seed = process.stdout.readline().split()
        assert (word, seed) == ("simulator", ["seed", "11"])
        assert get(url, "/_simulator/stats")["requests"] == 0
        assert (me.folder / "bought.jsonl").exists()
        assert end(process) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "x"], "simulator: error: argument --seed: invalid int value: 'x'"),
        (["--none"], "simulator: error: unrecognized arguments: --none"),
        (["--port", "70000"], "70000 is not a port; right is 0 to 65535"),
        (["--script", "none.toml"], "No such file or directory: 'none.toml'"),
    ],
)
def test_simulate_judges_its_own_options_and_ends_with_2(me: Stranger, arguments: list[str], message: str) -> None:
    printed = me.types("simulate", *arguments, expect=2)
    assert message in printed.err
    assert printed.out == ""


def test_simulate_explains_itself(me: Stranger) -> None:
    assert "A scripted Anthropic Messages API on loopback" in me.types("simulate", "--help").out


def test_flower_says_which_password_it_made_up_and_asks_for_it(me: Stranger, redis_url: str) -> None:
    me.configure(ANTHROPIC_API_KEY="k", REDIS_URL=redis_url)
    with me.starts("flower", "--port", "0x") as process:
        assert process.wait(30) == 2
    environment = {**me.environment, "REDIS_URL": redis_url}
    with subprocess.Popen(
        me.command("flower", "--port", "1"), cwd=me.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        printed = process.stderr.readline()
        process.kill()
    assert printed.startswith("flower: user stepdown, password ")
    assert "(set FLOWER_PASSWORD to choose it)" in printed


def test_flower_says_that_its_port_is_taken(me: Stranger, redis_url: str) -> None:
    me.configure(ANTHROPIC_API_KEY="k", REDIS_URL=redis_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        printed = me.types("flower", "--port", port, expect=2)
    assert printed.err.startswith(
        f"stepdown: stepdown flower: cannot listen on 127.0.0.1:{port} (Address already in use)"
    )
