"""The proofs that workers claim jobs: of the whole fleet in Redis, of this machine's own on its disk."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from models.errors import SettingsError
from models.queue.liveness import FRESH_S, LivenessProofs, claiming, last_proof_s
from models.queue.redis_keys import PULSES
from worker.composition import worker_name

_LEAVE_AND_STAY = """
import sys
from pathlib import Path
from models.queue.liveness import LivenessProofs
from worker.composition import worker_name
with LivenessProofs(sys.argv[1], Path(sys.argv[2]), worker=worker_name()) as proofs:
    proofs.leave()
    print("left", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _worker(url: str, state_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _LEAVE_AND_STAY, url, str(state_dir)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"left\n"
        yield process


def test_a_worker_is_known_to_claim_once_it_proves_it_and_no_more_when_it_ends(redis_url: str, tmp_path: Path) -> None:
    worker = worker_name()
    assert (claiming(redis_url), last_proof_s(tmp_path)) == ([], None)
    with LivenessProofs(redis_url, tmp_path, worker=worker) as proofs:
        assert (claiming(redis_url), last_proof_s(tmp_path)) == ([], float("inf"))
        proofs.leave()
        assert claiming(redis_url) == [worker]
        assert 0 <= (last_proof_s(tmp_path) or -1) < FRESH_S
    assert (claiming(redis_url), last_proof_s(tmp_path)) == ([], None)
    assert list((tmp_path / "workers").iterdir()) == []


def test_a_proof_of_a_worker_that_was_killed_a_moment_ago_proves_nothing_here(redis_url: str, tmp_path: Path) -> None:
    with _worker(redis_url, tmp_path) as process:
        assert last_proof_s(tmp_path) is not None
        process.kill()
        process.wait()
        assert last_proof_s(tmp_path) is None
    with LivenessProofs(redis_url, tmp_path, worker=worker_name()):
        assert len(list((tmp_path / "workers").iterdir())) == 1, "what it left behind is swept"


def test_a_proof_in_redis_ages(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        seconds, _ = client.time()
        client.zadd(PULSES, {"old:1:a": seconds - FRESH_S - 1, "new:1:b": seconds})
    assert claiming(redis_url) == ["new:1:b"]


def test_workers_of_one_folder_are_told_apart_and_one_that_is_well_will_do(redis_url: str, tmp_path: Path) -> None:
    with LivenessProofs(redis_url, tmp_path, worker=worker_name()), _worker(redis_url, tmp_path):
        assert 0 <= (last_proof_s(tmp_path) or -1) < FRESH_S


def test_a_folder_that_is_gone_or_cannot_be_one_is_told_with_a_way_out(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"STATE_DIR=.*/file: it cannot be written .*name a folder of this user"):
        LivenessProofs(redis_url, tmp_path / "file", worker=worker_name())
    with LivenessProofs(redis_url, tmp_path, worker=worker_name()) as proofs:
        proofs.check()
        (file,) = (tmp_path / "workers").iterdir()
        file.unlink()
        with pytest.raises(SettingsError, match=r"cannot be written \(No such file or directory\)"):
            proofs.check()
