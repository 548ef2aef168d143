"""`stepdown mcp` as a process: who may call it over HTTP, what it needs, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest
from sqlalchemy import text

from models.errors import InputError
from models.outcome import Outcome
from models.settings import load_settings
from producer.client import Producer
from producer.commands.processes import mcp
from producer.mcp.server import server_of
from tests.support.ledgers.job_values import claimed, parked
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import Stranger, end, stranger_in
from tests.support.sites.mcp_client import over_http, over_stdio, speaking, text_of
from tests.support.sites.worker_site import ROOT, environment_of, settings_of

TOKEN = "canary-of-the-token"  # noqa: S105 - of a throw-away server
HELLO = (
    '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",'
    ' "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}}}\n'
)
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}

_UNTOUCHED = "no worker has taken any of it up: is `stepdown worker` running?"


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Work in an empty folder, with no setting made."""
    return stranger_in(tmp_path_factory.mktemp("mcp"))


@pytest.fixture(scope="module")
def open_address(me: Stranger) -> Iterator[str]:
    """Run it as it comes."""
    with over_http(me) as address:
        yield address


def _status(address: str, **headers: str) -> int:
    return httpx2.post(address, content=HELLO, headers={**HEADERS, **headers}).status_code


def test_this_machine_may_call_and_no_page_of_another_site(open_address: str) -> None:
    assert _status(open_address) == 200
    assert _status(open_address, origin="http://127.0.0.1:1234") == 200
    assert _status(open_address, origin="https://elsewhere.example") == 403
    assert _status(open_address, host="elsewhere.example:8702") == 421


def test_another_address_wants_a_token(me: Stranger) -> None:
    response = me.types("mcp", "--http", "--host", "0.0.0.0", expect=2)  # noqa: S104 - refused is what is tested
    assert "--host: 0.0.0.0 is open to other machines: set MCP_TOKEN, or listen on 127.0.0.1" in response.err
    assert response.out == ""


def test_who_shows_the_token_is_served_and_nobody_else(tmp_path: Path) -> None:
    me = stranger_in(tmp_path, MCP_TOKEN=TOKEN)
    with over_http(me, "--host", "0.0.0.0") as address:  # noqa: S104 - behind a token
        here = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - as above
        assert _status(here) == 401
        for wrong in ("Bearer", "Bearer other", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN):
            assert _status(here, authorization=wrong) == 401
        refused = httpx2.post(here, content=HELLO, headers=HEADERS)
        assert refused.json() == {"error": "send the token as Authorization: Bearer TOKEN (the server's MCP_TOKEN)"}
        with speaking(here, token=TOKEN) as model:
            assert model.states("ledger_query", sql="SELECT COUNT(*) AS jobs FROM v_jobs")["rows"] == [[0]]
    assert TOKEN not in (tmp_path / "mcp.log").read_text(encoding="utf-8")


def test_a_port_that_is_taken_is_named(me: Stranger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        response = me.types("mcp", "--http", "--port", str(port), expect=2)
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use); choose another --port" in response.err


def test_the_readme_shows_a_configuration_that_a_client_can_read() -> None:
    (snippet,) = re.findall(
        r"```json\n(.*?)```", (ROOT / "producer" / "mcp" / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    server = json.loads(snippet)["mcpServers"]["stepdown"]
    assert (Path(server["command"]).name, server["args"]) == ("stepdown", ["mcp"])
    given = load_settings(env_file=None, **{name.lower(): value for name, value in server["env"].items()})
    assert set(map(str.lower, server["env"])) <= set(type(given).model_fields)


def test_nobody_to_send_to_is_told(tmp_path: Path) -> None:
    with speaking(over_stdio(stranger_in(tmp_path).environment, tmp_path)) as model:
        kept = model.states("submit", prompts=["Hi"], max_cost_usd="0.1")
        assert kept["not_sent"].startswith("no broker is running here: start `stepdown worker`")
        assert model.states("status", batch=kept["batch"])["states"] == {"queued": 1}
        assert model.words("wait", batch=kept["batch"], up_to_s=0.1).endswith(_UNTOUCHED)


def test_who_asks_hears_that_no_worker_took_it_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = settings_of(environment_of({"DATABASE_URL": url, "STATE_DIR": str(tmp_path)}))
    with Producer(settings) as producer, speaking(server_of(producer, settings, ask_s=0.1)) as model:
        assert model.words("ask", prompt="Hi", max_cost_usd="0.1").endswith(_UNTOUCHED)


def test_a_job_that_is_held_for_a_person_is_not_said_to_go_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = settings_of(environment_of({"DATABASE_URL": url, "STATE_DIR": str(tmp_path)}))
    with Producer(settings) as producer, opened(url) as engine, speaking(server_of(producer, settings)) as model:

        async def holds(_done: float, _of: float | None, _message: str | None) -> None:
            ledger, reports = producer.store.ledger, producer.store.reports
            (batch,) = reports.batches(limit=1)
            (job,) = reports.answers(batch.batch_id)
            ledger.finish(
                claimed(ledger, job.job_id), parked(0, outcome=Outcome.UNKNOWN, error="its worker is lost"), None
            )
            with engine.begin() as connection:
                connection.execute(text("UPDATE jobs SET due_at = NULL"))

        asking = partial(model.client.call_tool, "ask", {"prompt": "Hi", "max_cost_usd": "0.1"})
        lines = text_of(model.portal.call(partial(asking, progress_callback=holds))).splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("  waiting  -  $0.00  its worker is lost")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(InputError, match=r"pip install 'stepdown\[mcp\]'"):
        mcp()


def test_what_fails_inside_is_told_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere: Any = None
    with speaking(server_of(nowhere, load_settings(env_file=None))) as model:
        assert model.refused("status", batch="a") == (
            "status: failed inside Stepdown, which is a defect; the server's stderr tells where"
        )
    response = capsys.readouterr()
    assert "stepdown mcp: status met AttributeError" in response.err
    assert "mcp/actions.py" in response.err
    assert "NoneType" not in response.err
    assert response.out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_though_its_client_is_still_there(me: Stranger, number: signal.Signals) -> None:
    with _over_pipes(me) as process:
        assert process.stdin is not None
        assert _first_line(process.stdin, process.stdout).startswith('{"jsonrpc":"2.0","id":1,')
        assert end(process, number) == -number


def test_it_ends_when_its_client_has_gone(me: Stranger) -> None:
    with _over_pipes(me) as process:
        out, err = process.communicate(HELLO, timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.count("\n") == 1


def _over_pipes(me: Stranger) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    command, environment = me.command("mcp"), dict(me.environment)
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=me.folder, env=environment)


def _first_line(there: IO[str], back: IO[str] | None) -> str:
    there.write(HELLO)
    there.flush()
    assert back is not None
    return back.readline()
