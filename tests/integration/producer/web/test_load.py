"""A real `stepdown serve` under 240 MB bodies of one caller and 300 slow ones of another: the third does not notice."""

import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.support.sites.app_client import asked
from tests.support.sites.worker_site import environment_of, running_server

_SLOWEST, _GREEDY, _OTHER = "token-of-the-slowest-1", "token-of-the-greedy-1", "token-of-the-other-01"
_BATCHES = "/v1/messages/batches"
_MB = 1024 * 1024
_LARGE = 240 * _MB
_SLOW = 300
_MOST_MB = 1000
_LONGEST_S = 30  # for one answer on a machine that does other things: nobody waits for the end of a large body
_ONE = {"requests": [{"custom_id": "a", "params": asked()}]}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Run a server with three callers."""
    callers = tmp_path / "callers.toml"
    tokens = {"slowest": _SLOWEST, "greedy": _GREEDY, "other": _OTHER}
    tables = (f'[{name}]\ntoken = "{token}"\n' for name, token in tokens.items())
    callers.write_text("".join(tables), encoding="utf-8")
    where = {"DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}", "STATE_DIR": str(tmp_path)}
    environment = environment_of({**where, "CALLERS_FILE": str(callers)})
    with running_server(environment, tmp_path / "serve.log") as url:
        yield url


def _repeated(unit: bytes, begin: bytes, end: bytes) -> Iterator[bytes]:
    """Write a body of `_LARGE` bytes: `begin`, so many units, blanks, `end`."""
    some = unit * (_MB // len(unit))
    left = _LARGE - len(begin) - len(end)
    yield begin
    for _ in range(left // len(some)):
        yield some
    yield b" " * (left % len(some))
    yield end


def _text(size: int) -> bytes:
    return b'{"custom_id": "a", "params": {"messages": "' + b"x" * size + b'"}},'


def _sent(url: str, body: Iterator[bytes]) -> int:
    """Send a large body. Returns the status; 0 where the server hung up in the middle."""
    where = urlsplit(url)
    with closing(HTTPConnection(str(where.hostname), where.port, timeout=240)) as connection:
        connection.putrequest("POST", _BATCHES)
        connection.putheader("x-api-key", _GREEDY)
        connection.putheader("content-length", str(_LARGE))
        connection.endheaders()
        try:
            for part in body:
                connection.send(part)
        except OSError:
            return 0
        return connection.getresponse().status


def _slow(url: str) -> socket.socket:
    where = urlsplit(url)
    opened = socket.create_connection((str(where.hostname), int(where.port or 0)))
    head = f"POST {_BATCHES} HTTP/1.1\r\nhost: x\r\nx-api-key: {_SLOWEST}\r\ncontent-length: 100000\r\n\r\n{{"
    opened.sendall(head.encode())
    return opened


def _served(url: str, until: list[Future[int]]) -> list[float]:
    """Ask as the other caller until the large bodies have ended. Returns the seconds of each answer."""
    took = list[float]()
    with httpx2.Client(base_url=url, headers={"x-api-key": _OTHER}, timeout=_LONGEST_S) as client:
        while not all(one.done() for one in until):
            for method, path, body in ("GET", "/healthz", None), ("GET", _BATCHES, None), ("POST", _BATCHES, _ONE):
                began = monotonic()
                assert client.request(method, path, json=body).status_code in {200, 503}  # there is no broker here
                took.append(monotonic() - began)
    return took


def _peak_mb(url: str) -> float:
    """Read the most memory that the server held."""
    port = urlsplit(url).port
    server = next(
        one
        for one in psutil.Process().children(recursive=True)
        if any(found.laddr.port == port and found.status == "LISTEN" for found in one.net_connections("tcp"))
    )
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def test_one_callers_large_and_slow_bodies_are_nobody_elses(url: str) -> None:
    begin, end = b'{"requests": [', b"1]}"
    requests = b"".join(_text(6000).replace(b'"a"', b'"n-%d"' % n) for n in range(42_000))[: _LARGE - 100]
    valid = begin + requests[: requests.rindex(b"}},") + 2] + b"]}"
    bodies = [
        _repeated(b"{},", begin, end),
        _repeated(b"[[[],[]]],", begin + b"[", b"1]]}"),
        iter([valid[place : place + _MB] for place in range(0, len(valid), _MB)] + [b" " * (_LARGE - len(valid))]),
        _repeated(b"x", begin + b'"', b'"]}'),
    ]
    slow = [_slow(url) for _ in range(_SLOW)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        sending = [pool.submit(_sent, url, body) for body in bodies]
        took = sorted(_served(url, sending))
    peak_mb = _peak_mb(url)
    p99_s = took[int(len(took) * 0.99)]
    sys.stdout.write(f"{len(took)} answers, p99 {p99_s:.2f} s, longest {took[-1]:.2f} s, peak {peak_mb:.0f} MB\n")
    for one in slow:
        one.close()
    assert [one.result() for one in sending][2] == 200
    assert {one.result() for one in sending} <= {0, 200, 400, 413, 429}
    assert peak_mb < _MOST_MB
    assert took[-1] < _LONGEST_S
