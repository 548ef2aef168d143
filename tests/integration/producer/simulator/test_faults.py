"""Each broken answer, seen from the wire and through the SDK, and paid for before it was seen."""

from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from http.client import HTTPConnection, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anthropic
import pytest
from anthropic import Anthropic

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.simulator.process import RunningSimulator

_BODY = json.dumps(
    {
        "model": "claude-opus-4-7",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Three bridges were closed before dawn on Tuesday."}],
    }
).encode()


def _address(simulator: RunningSimulator) -> tuple[str, int]:
    parts = urlsplit(simulator.url)
    return str(parts.hostname), int(parts.port or 0)


def _send(simulator: RunningSimulator) -> socket.socket:
    """Send one request over a bare socket and leave the answer to be read."""
    sock = socket.create_connection(_address(simulator), timeout=10)
    head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
    head += f"content-length: {len(_BODY)}\r\n\r\n"
    sock.sendall(head.encode() + _BODY)
    return sock


def _read_to_the_end(sock: socket.socket) -> tuple[bytes, OSError | None]:
    """Read until the other side closes, and tell by which error if it was not a clean close."""
    received = b""
    try:
        while chunk := sock.recv(65_536):
            received += chunk
    except OSError as error:
        return received, error
    return received, None


def _connect(simulator: RunningSimulator) -> closing[HTTPConnection]:
    connection = HTTPConnection(*_address(simulator), timeout=10)
    connection.request("POST", "/v1/messages", _BODY, {"x-api-key": "k", "anthropic-version": "2023-06-01"})
    return closing(connection)


def _ask(simulator: RunningSimulator, **options: Any) -> object:
    """Ask through the SDK, once."""
    options = {"api_key": "k", "base_url": simulator.url, "max_retries": 0, **options}
    with Anthropic(**options) as client:
        return client.messages.create(
            model="claude-opus-4-7", max_tokens=100, messages=[{"role": "user", "content": "Hello there."}]
        )


def _eventually(is_so: Callable[[], bool], because: str) -> None:
    end = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < end, because
        time.sleep(0.01)


def _last_bill(simulator: RunningSimulator) -> int:
    return int(simulator.purchases()[-1]["billed_nano_usd"])


@pytest.mark.parametrize("rule", ["answer = 'slow'\ndelay_s = 600", "answer = 'hang'"])
def test_a_purchase_is_on_disk_before_the_first_byte_is_sent(simulator: RunningSimulator, rule: str) -> None:
    simulator.set_script(f"[[rules]]\n{rule}\n")
    before = len(simulator.purchases())
    with closing(_send(simulator)) as sock:
        _eventually(lambda: len(simulator.purchases()) == before + 1, "the request was read")
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    assert _last_bill(simulator) > 0


def test_whoever_sees_the_first_byte_finds_the_purchase(simulator: RunningSimulator) -> None:
    simulator.set_script("")
    before = len(simulator.purchases())
    for number in range(1, 51):
        with closing(_send(simulator)) as sock:
            assert sock.recv(1) == b"H"
            assert len(simulator.purchases()) == before + number


def test_a_hang_ends_when_the_caller_leaves(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'hang'\n")
    with pytest.raises(anthropic.APITimeoutError):
        _ask(simulator, timeout=0.2)
    _eventually(lambda: simulator.stats()["in_flight"] == 0, "the caller hung up")


def test_a_drip_is_valid_and_never_ends(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'drip'\nevery_s = 0.0001\n")
    with _connect(simulator) as connection:
        response = connection.getresponse()
        assert response.status == 200
        dripped = response.read(1_000)
    assert len(dripped) == 1_000
    assert json.loads(dripped + b"}")["type"] == "message"
    assert _last_bill(simulator) > 0


def test_a_reset_before_the_headers_sends_nothing(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'reset_before'\n")
    with closing(_send(simulator)) as sock, pytest.raises(ConnectionResetError):
        sock.recv(1)
    with pytest.raises(anthropic.APIConnectionError):
        _ask(simulator)
    assert _last_bill(simulator) > 0


def test_a_reset_after_the_headers_comes_in_the_middle_of_the_body(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'reset_after'\n")
    with closing(_send(simulator)) as sock:
        received, ended_by = _read_to_the_end(sock)
    assert isinstance(ended_by, ConnectionResetError)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.startswith(b'{"id":"msg_')
    assert _last_bill(simulator) > 0


def test_a_cut_closes_cleanly_before_the_promised_length(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'cut'\n")
    with _connect(simulator) as connection:
        response = connection.getresponse()
        promised = int(response.headers["content-length"])
        with pytest.raises(IncompleteRead) as caught:
            response.read()
    assert 0 < len(caught.value.partial) < promised
    with pytest.raises(anthropic.APIConnectionError):
        _ask(simulator)
    assert _last_bill(simulator) > 0


def test_malformed_json_is_a_200_that_cannot_be_read(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'malformed'\n")
    with pytest.raises(json.JSONDecodeError):
        _ask(simulator)
    assert _last_bill(simulator) > 0


def test_an_empty_body_is_a_200_with_nothing_in_it(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'empty'\n")
    with _connect(simulator) as connection:
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
    assert _last_bill(simulator) > 0


def test_html_comes_back_from_the_sdk_as_a_string(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'html_200'\n")
    assert isinstance(_ask(simulator), str)
    assert _last_bill(simulator) > 0


@pytest.mark.parametrize(("word", "is_billed"), [("error_200", False), ("no_usage", True)])
def test_a_200_without_usage_comes_back_as_a_message_without_usage(
    simulator: RunningSimulator, word: str, is_billed: bool
) -> None:
    simulator.set_script(f"[[rules]]\nanswer = '{word}'\n")
    message = _ask(simulator)
    assert isinstance(message, anthropic.types.Message)
    assert getattr(message, "usage", None) is None
    assert (_last_bill(simulator) > 0) is is_billed


def test_a_lifted_fault_is_gone_at_once(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 529\n")
    with pytest.raises(anthropic.OverloadedError):
        _ask(simulator)
    simulator.set_script("")
    assert isinstance(_ask(simulator), anthropic.types.Message)
