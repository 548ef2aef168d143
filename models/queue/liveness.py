"""Fresh proofs that a worker claims jobs: in Redis for the whole fleet, on disk for one machine."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from models.errors import BrokerError, Mistake, SettingsError
from models.queue.redis_keys import PULSES

if TYPE_CHECKING:
    import redis

# A health check needs this machine's proofs alone, and so no client of Redis.
# ruff: noqa: PLC0415

FRESH_S = 15.0  # an older proof proves nothing
_TIMEOUT_S = 2.0
_SUFFIX = ".liveness"


class LivenessProofs:
    """Leave the proofs of one worker. A lock on a file proves that the worker lives; a process id does not."""

    def __init__(self, url: str, state_dir: Path, *, worker: str) -> None:
        self._redis = _client(url)
        self._worker = worker
        folder = state_dir / "workers"
        self._path = folder / f"{worker.replace(':', '-')}{_SUFFIX}"
        with _writing(state_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in folder.glob(f"*{_SUFFIX}"):
                if _lived(path) is None:
                    path.unlink(missing_ok=True)
            # The file gets its name once locked: no other worker may take the file for an abandoned one.
            hidden = self._path.with_suffix(".new")
            self._file = hidden.open("wb", buffering=0)
            _lock(self._file)
            hidden.rename(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()
        with suppress(BrokerError), _asked():  # the proof ages by itself if Redis is away
            self._redis.zrem(PULSES, self._worker)
        self._redis.close()

    def check(self) -> None:
        """Raise SettingsError if STATE_DIR is gone, or not writable any more."""
        with _writing(self._path.parent.parent):
            os.utime(self._path)

    def leave(self) -> None:
        """Record, here and in Redis, that this worker claims jobs now. Raises BrokerError, SettingsError."""
        with _asked():
            now = _now(self._redis)
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.zremrangebyscore(PULSES, 0, now - FRESH_S)
                pipeline.zadd(PULSES, {self._worker: now})
                pipeline.execute()
        with _writing(self._path.parent.parent):
            os.pwrite(self._file.fileno(), f"{time.time():<20.3f}".encode(), 0)


def claiming(url: str) -> list[str]:
    """List the workers of the whole fleet that claim jobs. Raises BrokerError."""
    with _asked(), _client(url) as client:
        fresh = client.zrangebyscore(PULSES, _now(client) - FRESH_S, "+inf")
        return sorted(worker.decode() for worker in fresh)


def last_proof_s(state_dir: Path) -> float | None:
    """Return the age of this machine's last proof of a claiming worker, in seconds. Returns None if no worker lives.

    The age is infinite if a worker lives and has claimed nothing yet.
    """
    here = (state_dir / "workers").glob(f"{socket.gethostname()}-*{_SUFFIX}")
    ages = [time.time() - at for path in here if (at := _lived(path)) is not None]
    return min(ages, default=None)


def _lived(path: Path) -> float | None:
    """Return the time in a living worker's file, in seconds. Returns None if the worker is gone."""
    from fcntl import LOCK_NB, LOCK_SH, flock  # Windows has no flock, and no worker

    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            flock(file, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return float(file.read() or "-inf")
    return None


def _lock(file: BinaryIO) -> None:
    from fcntl import LOCK_EX, flock

    flock(file, LOCK_EX)


def _client(url: str) -> "redis.Redis":
    import redis

    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)


def _now(client: "redis.Redis") -> float:
    seconds, microseconds = client.time()
    return float(seconds) + microseconds / 1e6


@contextmanager
def _asked() -> Iterator[None]:
    import redis

    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise BrokerError(
            f"broker: {type(error).__name__}: {error}: is Redis running, and is REDIS_URL right?"
        ) from error


@contextmanager
def _writing(state_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = f"it cannot be written ({error.strerror}): name a folder of this user's; a worker keeps replies there"
        raise SettingsError([Mistake(variable="STATE_DIR", value=str(state_dir), fix=fix)]) from error
