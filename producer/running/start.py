"""Starts processes: the worker with its broker, Flower, the simulator."""

import ctypes
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import FrameType

from models.errors import InputError
from models.queue.embedded_redis import required_broker_url, running_broker
from models.settings import Settings, child_environment
from producer.running.listening import listening

_FLOWER_COLUMNS = "name,uuid,state,result,received,runtime,worker"
_RUNTIME_BUCKETS = "0.5,1,2,5,10,20,40,80,120,240,480,960,1920,3600"  # Flower's end at 10 s; a call may take an hour

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_OF_A_SIGNAL = 128  # a shell's code for an end by a signal is 128 + the signal's number


def worker_command(settings: Settings, more: Sequence[str] = ()) -> list[str]:
    """Build the Celery command a worker is; `more` are Celery's own options."""
    pool = ["-c", str(settings.worker_concurrency)]
    quick = ["--without-gossip", "--without-mingle"]
    return [*_celery("worker"), *pool, *quick, "-n", f"stepdown-{os.getpid()}@%h", *more]


def worker(settings: Settings, more: Sequence[str]) -> int:
    """Run a worker until a signal. Without REDIS_URL the worker's broker runs beside the worker."""
    command = worker_command(settings, more)
    if settings.redis_url is not None:
        _become(command, child_environment({}))
    with running_broker(settings) as url:
        code = _supervise(command, child_environment({"REDIS_URL": url}))
    return code if code >= 0 else _OF_A_SIGNAL - code


def flower(settings: Settings, *, address: str, port: int) -> None:
    """Become Flower behind a password, which is made up without FLOWER_PASSWORD."""
    listening(address, port, source="stepdown flower").close()  # Flower's own end over a busy port is a traceback
    password = settings.flower_password
    chosen = secrets.token_urlsafe(12) if password is None else password.get_secret_value()
    if password is None:
        sys.stderr.write(f"flower: user {settings.flower_user}, password {chosen} (set FLOWER_PASSWORD to choose it)\n")
    _become(
        flower_command(port, address=address),
        child_environment(flower_variables(settings, required_broker_url(settings), chosen)),
    )


def flower_command(port: int, *, address: str = "127.0.0.1") -> list[str]:
    """Return the command of Flower: on loopback, without actions, with columns of model, depth and cost."""
    if find_spec("flower") is None:
        raise InputError("Flower is not installed: pip install 'stepdown[flower]'", source="stepdown flower")
    # Flower would run any flowerconfig.py in the working folder, unless another file is given.
    conf = f"--conf={os.devnull}"
    columns, buckets = f"--tasks-columns={_FLOWER_COLUMNS}", f"--task-runtime-metric-buckets={_RUNTIME_BUCKETS}"
    return [*_celery("flower"), f"--address={address}", f"--port={port}", "--read-only", conf, columns, buckets]


def flower_variables(settings: Settings, broker_url: str, password: str) -> dict[str, str]:
    """Return the variables of Flower, which hide the broker and the password from `ps`."""
    return {"REDIS_URL": broker_url, "FLOWER_BASIC_AUTH": f"{settings.flower_user}:{password}"}


def simulator_command(more: Sequence[str]) -> list[str]:
    """Build the command of the simulated API."""
    return [sys.executable, "-P", "-m", "producer.simulator", *more]


def direct_command(prompt: str) -> list[str]:
    """Build the command of one direct call, in a process of its own."""
    return [sys.executable, "-P", "-m", "worker.direct", prompt]


def simulate(more: Sequence[str]) -> None:
    """Become the simulated API."""
    _become(simulator_command(more), child_environment({}))


def _end_with_parent() -> None:
    # If we are killed, a worker without a broker would knock at a closed door for ever. Linux only.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _celery(command: str) -> list[str]:
    return [sys.executable, "-P", "-m", "worker", command]  # -P: nothing of the working folder is imported


def _become(command: Sequence[str], environment: dict[str, str]) -> None:
    sys.stdout.flush()
    os.execve(command[0], list(command), environment)  # noqa: S606 - no shell, our own interpreter


def _supervise(command: Sequence[str], environment: dict[str, str]) -> int:
    # A session of its own: Ctrl-C reaches the worker once, through us, and the broker outlives the worker.
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_end_with_parent)  # noqa: PLW1509

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    return process.wait()
