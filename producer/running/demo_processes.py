"""The processes a demo plays on, each with a line that says where it is and how long its start took."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.errors import StepdownError
from models.queue.embedded_redis import running_broker
from models.settings import DEFAULT_CHAIN, Settings, child_environment, load_settings
from producer.output.terminal import print_line
from producer.running.start import flower_command, flower_variables, simulator_command, worker_command
from producer.simulator.process import RunningSimulator

_SCRIPTS = Path(__file__).parents[1] / "simulator" / "scripts"
_SEED = 7
_LATENCY_S = 1.5
_CONCURRENCY = 32
_TASK_STARTS = "summarize:claude-haiku-4-5-20251001,synthesize:claude-opus-4-7"
_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 0.05
_FLOWER_PORT = 5555
_HALF_PRICE = {
    "half_price_usual_s": 5.0,
    "half_price_grace_s": 2.0,
    "half_price_live_s": 15.0,
    "half_price_poll_s": 0.5,
}


def end_in_order() -> None:
    """Have SIGTERM and a closed terminal unwind the stage as Ctrl-C does: by default its processes would be left."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


@contextmanager
def simulator(folder: Path, name: str, script: str | None, faults: str) -> Iterator[RunningSimulator]:
    """Run a simulated API. `script` names a file of the simulator's scripts, `faults` are in words."""
    ready, log = folder / f"{name}.url", folder / f"{name}.jsonl"
    scripts = [] if script is None else ["--script", str(_SCRIPTS / script)]
    more = ["--seed", str(_SEED), *scripts, "--latency-s", str(_LATENCY_S)]
    started = time.monotonic()
    command = simulator_command([*more, "--log", str(log), "--ready-file", str(ready)])
    with _process(command, {}, folder / f"{name}.log") as process:
        has_ended = partial(_has_ended, process)
        _until(lambda: ready.exists() and bool(ready.read_text(encoding="utf-8").strip()), name, has_ended)
        url = ready.read_text(encoding="utf-8").strip()
        _row("api", f"simulator {url}  seed {_SEED}; {faults}", started)
        yield RunningSimulator(url=url, pid=process.pid, log_path=log)


@contextmanager
def broker(settings: Settings) -> Iterator[str]:
    """Run the embedded broker and yield its URL."""
    started = time.monotonic()
    with running_broker(settings) as url:
        _row("broker", f"valkey (embedded)  redis://{url.partition('@')[2]}", started)
        yield url


@contextmanager
def worker(settings: Settings, broker_url: str) -> Iterator[None]:
    """Run one worker; it is ready when it says so in its log."""
    started, log = time.monotonic(), settings.state_dir / "worker.log"
    with _process(worker_command(settings), _variables(settings, broker_url), log) as process:
        _until(lambda: " ready." in log.read_text(encoding="utf-8"), "worker", partial(_has_ended, process))
        _row("worker", f"1 process, {settings.worker_concurrency} calls in flight", started)
        yield


@contextmanager
def flower(settings: Settings, broker_url: str) -> Iterator[None]:
    """Run Flower on its usual port, or on a free one; nobody waits for it. Without its package there is none."""
    if find_spec("flower") is None:
        _row("flower", "not installed: pip install 'stepdown[flower]'", None)
        yield
        return
    port = _free_port(_FLOWER_PORT)
    variables = {**_variables(settings, broker_url), **flower_variables(settings, broker_url, "demo")}
    with _process(flower_command(port), variables, settings.state_dir / "flower.log"):
        _row("flower", f"http://127.0.0.1:{port}  user {settings.flower_user}, password demo", None)
        yield


def settings_at(folder: Path, api: str, cloud: str | None = None) -> Settings:
    """Return settings for the simulated API, and for another at the endpoint `cloud`.

    The user's own key, broker and ledger are left alone: nothing here is read from the environment.
    """
    usual = {name: field.default for name, field in Settings.model_fields.items()}
    own = {
        "anthropic_api_key": "demo",
        "anthropic_base_url": api,
        "database_url": f"sqlite:///{folder}/ledger.db",
        "state_dir": folder,
        "task_starts": _TASK_STARTS,
        "worker_concurrency": _CONCURRENCY,
        **_HALF_PRICE,
        **({} if cloud is None else _endpoints(folder, cloud)),
    }
    return load_settings(env_file=None, **usual | own)


def _endpoints(folder: Path, url: str) -> dict[str, Any]:
    path, (first, second, _) = folder / "endpoints.toml", DEFAULT_CHAIN.split(",")
    path.write_text(f'[cloud]\nkind = "compatible"\nbase_url = "{url}"\nkey = "demo"\ntrust_model = true\n')
    return {"endpoints_file": path, "model_chain": f"{first},cloud/{first},{second},cloud/{second}", "task_starts": ""}


def _variables(settings: Settings, broker_url: str) -> dict[str, str]:
    # An empty variable is a setting left out, and wins over the one in a .env that lies in the working folder.
    return dict.fromkeys((name.upper() for name in Settings.model_fields), "") | {
        "REDIS_URL": broker_url,
        "ANTHROPIC_API_KEY": "demo",
        "ANTHROPIC_BASE_URL": settings.anthropic_base_url,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "STATE_DIR": str(settings.state_dir),
        "TASK_STARTS": settings.task_starts,
        "MODEL_CHAIN": settings.model_chain,
        "ENDPOINTS_FILE": str(settings.endpoints_file or ""),
        **{name.upper(): f"{seconds:g}" for name, seconds in _HALF_PRICE.items()},
    }


@contextmanager
def _process(command: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that ends with the block, its words in a log file."""
    with log.open("wb") as words:
        # In a session of its own: Ctrl-C reaches us, and we end the others in order.
        process = subprocess.Popen(
            command, env=child_environment(variables), stdout=words, stderr=words, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_TIMEOUT_S)
            process.kill()
            process.wait()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _until(is_ready: Callable[[], bool], what: str, has_ended: Callable[[], bool]) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while not is_ready():
        if has_ended() or time.monotonic() > until:
            raise StepdownError(f"the demo's {what} did not start: see .stepdown/demo/{what}.log")
        time.sleep(_LOOK_EVERY_S)


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _row(what: str, where: str, started: float | None) -> None:
    took = "" if started is None else f"{time.monotonic() - started:.1f} s"
    print_line(f"  {what:<8} {where}  {took}".rstrip(), at_once=True)
