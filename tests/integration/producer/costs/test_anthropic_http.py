"""The plain requests of the producer: asked again while busy, never with the key elsewhere, clear where they fail."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from models.errors import ApiError, InputError, SettingsError
from models.settings import Settings, load_settings
from producer.costs.anthropic_http import Api
from producer.costs.api_check import state_of
from producer.costs.count_tokens import count_tokens
from producer.reconcile.provider_report import read_billed
from producer.simulator.process import running_simulator

_KEY = "sk-ant-canary-of-the-key"
_DAY = date(2026, 11, 24)


@dataclass(slots=True)
class Host:
    """An API that answers as told, the last answer for ever, and remembers what it was asked."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def states(self, status: int, body: object, **headers: str) -> None:
        """Answer so next."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body if isinstance(body, bytes) else json.dumps(body).encode()))


@pytest.fixture
def host() -> Iterator[Host]:
    """Serve one on loopback."""
    reported = Host()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reported.asked.append((self.path, self.headers["authorization"]))
            status, headers, body = reported.answers.pop(0) if len(reported.answers) > 1 else reported.answers[0]
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        reported.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield reported
        server.shutdown()
        thread.join()


def _api(host: Host, waits: list[float] | None = None) -> Api:
    slept = [] if waits is None else waits
    return Api(base_url=f"{host.url}/", variable="ANTHROPIC_API_KEY", key=_KEY, sleep=slept.append)


def _settings(host: Host) -> Settings:
    return load_settings(env_file=None, anthropic_admin_key=_KEY, anthropic_base_url=host.url)


def test_a_busy_api_is_asked_again_when_it_says(host: Host) -> None:
    host.states(429, {}, retry_after="7")
    host.states(529, {})
    host.states(200, {"input_tokens": 3})
    waits: list[float] = []
    assert _api(host, waits).ask("/v1/x") == {"input_tokens": 3}
    assert (waits, host.asked) == ([7.0, 2.0], [("/v1/x", f"Bearer {_KEY}")] * 3)


@pytest.mark.parametrize("retry_after", ["-1", "nan", "soon", "99999"])
def test_no_retry_after_makes_it_wait_for_ever(host: Host, retry_after: str) -> None:
    host.states(429, {"error": {"message": "slow down"}}, retry_after=retry_after)
    waits: list[float] = []
    with pytest.raises(ApiError, match=r"127.0.0.1:\d+ said 429: slow down"):
        _api(host, waits).ask("/v1/x")
    assert len(waits) == 4
    assert all(0 <= wait <= 60 for wait in waits)


def test_another_address_is_not_followed_with_the_key(host: Host) -> None:
    host.states(302, {}, location=f"{host.url}/elsewhere")
    with pytest.raises(ApiError, match="said 302"):
        _api(host).ask("/v1/x")
    assert [path for path, _ in host.asked] == ["/v1/x"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_and_not_shown(host: Host, status: int) -> None:
    host.states(status, {"error": {"message": "invalid\x1b[2J key"}})
    with pytest.raises(SettingsError, match=r"ANTHROPIC_API_KEY=\(hidden\): .*invalid\\x1b\[2J key") as caught:
        _api(host).ask("/v1/x")
    assert _KEY not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"\xff"])
def test_what_is_no_json_object_is_no_answer(host: Host, body: bytes) -> None:
    host.states(200, body)
    with pytest.raises(ApiError, match="gives no answer"):
        _api(host).ask("/v1/x")


def test_a_body_without_an_end_is_read_to_a_bound_only(host: Host) -> None:
    host.states(200, b"x" * 5_000_000)
    assert len(_api(host).look("/v1/x").body) < 2_000_000
    host.answers.clear()
    host.states(200, b"[" + b" " * 70_000_000)
    with pytest.raises(ApiError, match=r"gives no answer \(more than 64,000,000 bytes\)"):
        _api(host).ask("/v1/y")


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"])
def test_an_answer_that_comes_byte_by_byte_is_given_up_in_time(begun: bytes) -> None:
    with _dripping(begun) as url:
        began = time.monotonic()
        with pytest.raises(ApiError, match=r"gives no answer \(no whole reply within 0.5 s\)"):
            Api(base_url=url, variable="ANTHROPIC_API_KEY", key=_KEY).look("/v1/x", timeout_s=0.5)
        assert time.monotonic() - began < 5


@contextmanager
def _dripping(begun: bytes) -> Iterator[str]:
    """Serve one client with a reply that never ends, a byte every tenth of a second."""

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.sendall(begun)
            while True:
                client.sendall(b"x")
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=drip, args=[listener])
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
    assert not thread.is_alive()


def test_a_host_that_is_not_there_is_named_with_the_cause() -> None:
    for url, cause in (("http://127.0.0.1:1", "Connect call failed"), ("http://no.invalid", r"\[Errno -\d+\]")):
        with pytest.raises(ApiError, match=f"gives no answer .*{cause}.*: look at ANTHROPIC_BASE_URL"):
            Api(base_url=url, variable="ANTHROPIC_API_KEY", key=_KEY).ask("/v1/x")


def test_a_prompt_that_cannot_be_counted_is_named_and_stops_the_rest(host: Host) -> None:
    host.states(400, {"error": {"message": "messages: too odd"}})
    with pytest.raises(InputError, match=r"prompt 1: .*messages: too odd"):
        count_tokens([("claude-opus-4-7", {"messages": []})] * 500, _api(host))
    assert len(host.asked) < 100


@pytest.mark.parametrize("count", [None, "3", -1, True])
def test_a_count_that_is_none_is_refused(host: Host, count: object) -> None:
    host.states(200, {"input_tokens": count})
    with pytest.raises(ApiError, match="told no input_tokens"):
        count_tokens([("claude-opus-4-7", {"messages": []})], _api(host))


def test_blocks_that_only_the_older_version_takes_are_counted_under_it() -> None:
    cited = [{"type": "text", "text": "Go on.", "citations": [{"type": "char_location", "cited_text": "x"}]}]
    requests = [("claude-opus-4-7", {"messages": [{"role": "user", "content": content}]}) for content in (cited, "Go.")]
    with running_simulator() as simulator:
        assert count_tokens(requests, Api(base_url=simulator.url, variable="ANTHROPIC_API_KEY", key=_KEY)) == [2, 1]


def _row(**changes: Any) -> dict[str, Any]:
    row = {
        "starting_at": "2026-11-24T00:00:00Z",
        "group": {
            "model": "claude-opus-4-7",
            "service_tier": None,
            "cost_type": "tokens",
            "token_type": "output_tokens",
        },
        "cost": {"amount": "12.5", "list_amount": "12.5", "currency": "USD"},
    }
    return row | changes


_CENTS = {"amount": "1", "list_amount": "1", "currency": "USD"}


@pytest.mark.parametrize(
    "row",
    [
        {},
        _row(starting_at="soon"),
        _row(cost={**_CENTS, "amount": "NaN"}),
        _row(cost={**_CENTS, "amount": "Infinity"}),
        _row(cost={**_CENTS, "amount": "much"}),
        _row(cost={**_CENTS, "currency": "EUR"}),
        _row(group=None),
    ],
)
def test_a_report_of_another_shape_is_refused_and_never_read_as_nothing(host: Host, row: dict[str, Any]) -> None:
    host.states(200, {"data": []})
    host.states(200, {"data": [row]})
    with pytest.raises(ApiError, match=r"has another shape than anthropic 2\.12\.0 types"):
        read_billed(_settings(host), _DAY, _DAY)


def test_cents_become_dollars_exactly_and_pages_are_read_to_the_last(host: Host) -> None:
    host.states(200, {"data": [], "has_more": False})
    host.states(200, {"data": [_row()], "has_more": True, "next_page": "page_2"})
    host.states(
        200, {"data": [_row()], "has_more": False, "next_page": None, "data_refreshed_at": "2026-11-25T00:00:00Z"}
    )
    billed = read_billed(_settings(host), _DAY, _DAY)
    ((place, charge),) = billed.charges.items()
    assert place == (_DAY, "claude-opus-4-7", "standard", "output")
    assert (str(charge.usd), str(charge.unit_usd)) == ("0.250", "0.002")
    assert [("page=page_2" in path) for path, _ in host.asked] == [False, False, True]


def test_a_page_that_follows_itself_ends(host: Host) -> None:
    host.states(200, {"data": [], "has_more": True, "next_page": "page_2"})
    with pytest.raises(ApiError, match="follows itself"):
        read_billed(_settings(host), _DAY, _DAY)


_MODELS = ("claude-opus-4-7", "claude-sonnet-4-6")


def _own(kind: str, message: str) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def test_an_api_that_knows_every_model_is_ok(host: Host) -> None:
    host.states(200, {"id": "claude-opus-4-7", "type": "model"})
    assert state_of(_api(host), _MODELS).verdict == "ok"
    assert [path for path, _ in host.asked] == [f"/v1/models/{model}" for model in _MODELS]


@pytest.mark.parametrize(
    ("status", "body", "verdict", "words"),
    [
        (301, b"", "fail", "sends every call on to https://elsewhere/v1 (301): set ANTHROPIC_BASE_URL"),
        (302, b"<html><title>Log in</title></html>", "fail", "sends every call on to https://elsewhere/v1 (302)"),
        (200, b"<html><title>Welcome</title></html>", "fail", "answers 200 with something that is no model (Welcome)"),
        (
            404,
            b"<html><title>404 Not Found</title></html>",
            "fail",
            "answers 404 (404 Not Found), not the API",
        ),
        (404, {"detail": "Not Found"}, "warn", "answers 404 (Not Found), not the API"),
        (403, b"<html><title>Blocked</title></html>", "fail", "answers 403 (Blocked), not the API"),
        (401, _own("authentication_error", "invalid x-api-key"), "fail", "refuses the key (401: invalid x-api-key)"),
        (403, _own("permission_error", "no"), "fail", "refuses the key (403: no): mend ANTHROPIC_API_KEY"),
        (503, b"busy", "warn", "answers 503 (busy): run stepdown doctor again later"),
    ],
)
def test_whatever_stands_in_the_way_of_calls_is_named(
    host: Host, status: int, body: object, verdict: str, words: str
) -> None:
    host.states(status, body, location="https://elsewhere/v1?state=s3cret")
    state = state_of(_api(host), _MODELS)
    assert (state.verdict, words in state.message, "s3cret" in state.message) == (verdict, True, False), state.message


def test_a_model_that_is_closed_or_unknown_is_a_warning_that_names_it(host: Host) -> None:
    host.states(403, _own("permission_error", "Your key has no access to this model"))
    host.states(200, {"id": "claude-sonnet-4-6"})
    state = state_of(_api(host), _MODELS)
    assert (state.verdict, "not for opus-4-7 (403: Your key has no access" in state.message) == ("warn", True)
