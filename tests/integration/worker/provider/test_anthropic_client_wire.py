"""Servers that break the rules of HTTP itself: each end is told as a value, and nothing is asked twice."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread

import pytest

from models.chain.deadline import Deadline
from tests.support.sites.blocking_provider import BlockingProvider
from worker.provider.anthropic_client import probing_socket
from worker.provider.reply import Broken, Received

_PARAMS = {"max_tokens": 100, "messages": [{"role": "user", "content": "Ten harbours were dredged in spring."}]}
_DEADLINE = Deadline(after_s=20, reason="CALL_TIMEOUT_S")
_HEAD = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"


class Wire:
    """Answers every connection with the same bytes and closes it; `requests` counts those it has read."""

    def __init__(self, answer: bytes) -> None:
        self.requests = 0
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = Thread(target=self._serve, name="wire")
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    connection.recv(65_536)
                    self.requests += 1
                    connection.sendall(self._answer)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@contextmanager
def _asked(answer: bytes) -> Iterator[tuple[Wire, Received | Broken]]:
    with closing(Wire(answer)) as wire:
        provider = BlockingProvider(api_key="k", base_url=wire.url, connect_timeout_s=1)
        with closing(provider):
            yield wire, provider.call("claude-opus-4-7", _PARAMS, attempt_id="a", job_id="j", deadline=_DEADLINE)


def _head(status: bytes, length: int, more: bytes = b"") -> bytes:
    return _HEAD % (status, length, more)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nconte",
        b"\x00\xff\xfe nonsense\r\n\r\n",
        b"SMTP ready\r\n\r\n",
        _head(b"200 OK", 500) + b'{"type": "mess',
        _head(b"529 Overloaded", 500) + b'{"type": "err',
        _head(b"200 OK", 9, b"content-encoding: gzip\r\n") + b"not gzip!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nnot a chunk",
    ],
)
def test_a_reply_that_is_no_http_is_cut_after_one_request(answer: bytes) -> None:
    with _asked(answer) as (wire, end):
        assert isinstance(end, Broken)
        assert end.how == "cut"
        assert end.detail
        assert wire.requests == 1


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"304 Not Modified", b"500 Oops", b"599 What"])
def test_a_status_without_a_body_is_received_as_it_is(status: bytes) -> None:
    with _asked(_head(status, 0)) as (wire, end):
        assert isinstance(end, Received)
        assert (end.status, end.body) == (int(status[:3]), b"")
        assert wire.requests == 1


def test_a_redirect_is_not_followed_into_a_second_purchase() -> None:
    with closing(Wire(_head(b"200 OK", 2) + b"{}")) as elsewhere:
        moved = _head(b"307 Moved", 0, b"location: " + elsewhere.url.encode() + b"/v1/messages\r\n")
        with _asked(moved) as (wire, end):
            assert isinstance(end, Received)
            assert end.status == 307
            assert (wire.requests, elsewhere.requests) == (1, 0)


def test_a_server_that_takes_no_connection_is_unreachable_within_the_connect_timeout() -> None:
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        with _filling(address):
            provider = BlockingProvider(
                api_key="k",
                base_url=f"http://127.0.0.1:{address[1]}",
                connect_timeout_s=0.3,
            )
            with closing(provider):
                end = provider.call("claude-opus-4-7", _PARAMS, attempt_id="a", job_id="j", deadline=_DEADLINE)
    assert isinstance(end, Broken)
    assert end.how == "unreachable"
    assert end.latency_ms < 10_000


def test_a_peer_that_is_silent_is_probed_for_a_minute_and_given_up_after_two() -> None:
    (address,) = socket.getaddrinfo("127.0.0.1", 9, type=socket.SOCK_STREAM)
    with closing(probing_socket(address)) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        wanted = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
        known = {name: value for name, value in wanted.items() if hasattr(socket, name)}  # each system has its own
        assert {name: made.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in known} == known


@contextmanager
def _filling(address: tuple[str, int]) -> Iterator[None]:
    """Take all places in a server's queue of connections, so that it answers no further one."""
    waiting: list[socket.socket] = []
    try:
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(address)
        yield
    finally:
        for one in waiting:
            one.close()
