"""The last rung is a server such as llama.cpp: other errors, no request ids, a file for a model, perhaps no usage."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from producer.prompt.prompt import Prompt
from tests.support.sites.worker_site import ENGINES, OPUS, Plant, one_test, running_plant

_LOCAL = "local/smollm2"
_DOWN = "[[rules]]\nanswer = '529'"
_MESSAGE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hello!"}],
    "model": "/srv/models/SmolLM2-135M.gguf",
    "stop_reason": "end_turn",
    "stop_sequence": None,
}
_COUNTED = {**_MESSAGE, "usage": {"input_tokens": 9, "output_tokens": 4}}
_LONG = Prompt("Tell a long story.", max_tokens=8000)  # is streamed


class _Server(ThreadingHTTPServer):
    """Answers each message with `status` and `body`, and a message that names pixels with `to_pixels`."""

    status, body, content_type = 200, "", "application/json"
    to_pixels: tuple[int, str] | None = None

    def answers(self, body: Any, status: int = 200, *, content_type: str = "application/json") -> None:
        """Answer so from now on."""
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.status, self.content_type = status, content_type


class _Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        asked = self.rfile.read(int(self.headers["content-length"]))
        status, body = server.to_pixels if server.to_pixels and b"pixels" in asked else (server.status, server.body)
        self.send_response(status)
        self.send_header("content-type", server.content_type)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


def _events(*events: dict[str, Any]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


_UNCOUNTED_STREAM = _events(
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello!"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
)


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plant, _Server]]:
    """Run one worker for all tests of this file, whose last rung costs nothing by the operator's word."""
    folder = tmp_path_factory.mktemp("local")
    with ExitStack() as until_end:
        server = until_end.enter_context(_Server(("127.0.0.1", 0), _Answering))
        Thread(target=server.serve_forever, daemon=True).start()
        until_end.callback(server.shutdown)
        path, url = folder / "endpoints.toml", f"http://127.0.0.1:{server.server_port}"
        table = f'[local]\nkind = "compatible"\nbase_url = "{url}"\nprices = {{ smollm2 = "0:0" }}\n'
        path.write_text(table, encoding="utf-8")
        chain = {"MODEL_CHAIN": f"{OPUS},{_LOCAL}", "TASK_STARTS": "", "ENDPOINTS_FILE": str(path)}
        yield until_end.enter_context(running_plant(request, folder, **chain)), server


@pytest.fixture
def site(whole: tuple[Plant, _Server]) -> Iterator[tuple[Plant, _Server]]:
    """Lend it to one test, with the usual API down."""
    with one_test(whole[0]) as plant:
        plant.simulator.set_script(_DOWN)
        yield whole


def _ends(plant: Plant, *prompts: Prompt | str) -> set[tuple[Any, ...]]:
    """Have prompts answered by the last rung; return the distinct ends of its attempts."""
    batch = plant.submit(*prompts)
    answers = plant.finished(batch)
    assert {(one.state, one.text, one.model) for one in answers} == {("succeeded", "Hello!", _LOCAL)}
    fields = ("outcome", "cost_status", "cost_nano_usd", "input_tokens", "cache_read_tokens", "output_tokens")
    ours = [row for row in plant.attempts(batch) if row["endpoint"] == "local"]
    return {tuple(row[field] for field in fields) for row in ours}


def test_an_answer_of_a_model_without_a_price_of_its_own_costs_the_stated_zero(
    site: tuple[Plant, _Server],
) -> None:
    plant, server = site
    usage = {"cache_read_input_tokens": 32, "input_tokens": 1, "output_tokens": 4}
    server.answers({**_MESSAGE, "usage": usage})
    assert _ends(plant, "Say hello.", "Greet me.") == {("answered", "exact", 0, 1, 32, 4)}


@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {"input_tokens": 0, "output_tokens": 0}}])
def test_an_answer_without_usage_is_kept_and_its_cost_is_unknown_also_at_a_price_of_zero(
    site: tuple[Plant, _Server], usage: dict[str, Any]
) -> None:
    plant, server = site
    server.answers({**_MESSAGE, **usage})
    assert _ends(plant, "Say hello.") == {("answered", "unknown", None, None, None, None)}


def test_a_stream_without_usage_is_kept_and_its_cost_is_unknown(site: tuple[Plant, _Server]) -> None:
    plant, server = site
    server.answers(_UNCOUNTED_STREAM, content_type="text/event-stream")
    assert _ends(plant, _LONG) == {("answered", "unknown", None, None, None, None)}


def test_a_500_about_one_request_takes_the_server_from_no_other_job(site: tuple[Plant, _Server]) -> None:
    plant, server = site
    refused = {"error": {"code": 500, "message": "image input is not supported", "type": "server_error"}}
    server.to_pixels = 500, json.dumps(refused)
    server.answers(_COUNTED)
    misfits = plant.submit(*(f"Read pixels {number}." for number in range(4)))
    plant.parked(misfits)
    assert _ends(plant, *(f"Greet {number}." for number in range(4))) == {("answered", "exact", 0, 9, 0, 4)}
    ends = [row["outcome"] for row in plant.attempts(misfits) if row["endpoint"] == "local"]
    assert ends == ["rejected"] * 4, "each copy of the request would fail alike, so nobody tries again"
    plant.simulator.set_script("")
    assert {(one.state, one.model) for one in plant.finished(misfits)} == {("succeeded", OPUS)}


@pytest.mark.parametrize(
    "error", [{"error": {"code": 401, "message": "Invalid API Key", "type": "auth_error"}}, "Unauthorized"]
)
def test_a_refused_key_fails_no_job(site: tuple[Plant, _Server], error: Any) -> None:
    plant, server = site
    server.answers(error, 401)
    batch = plant.submit("Say hello.")
    plant.parked(batch)
    server.answers(_COUNTED)
    assert {(one.state, one.model) for one in plant.finished(batch)} == {("succeeded", _LOCAL)}
    assert "unauthorized" in {row["outcome"] for row in plant.attempts(batch)}
