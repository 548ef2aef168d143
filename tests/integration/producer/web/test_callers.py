"""Who is let in, and what a caller sees and may spend; the application in this process, on a real ledger."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputError
from models.settings import Settings, load_settings
from producer.client import Producer
from producer.prompt.prompt import Prompt
from producer.running.listening import listening
from tests.support.sites.app_client import asked, visiting
from tests.support.sites.command_line import Stranger, stranger_in

_AIRFLOW, _DAGSTER = "token-of-airflow-0001", "token-of-dagster-0001"
_CALLERS = f"""
[airflow]
token = "{_AIRFLOW}"
tags = {{ team = "media" }}

[dagster]
token = "{_DAGSTER}"
"""
_BATCHES = "/v1/messages/batches"


@pytest.fixture
def open_settings(database_url: str, tmp_path: Path) -> Settings:
    """Make settings without callers, and without a broker."""
    return load_settings(env_file=None, database_url=database_url, state_dir=tmp_path)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Make settings with two callers, and with tags that have a cap."""
    path = tmp_path / "callers.toml"
    path.write_text(_CALLERS, encoding="utf-8")
    caps = "project=tides:5,project=a=b:5"
    return load_settings(
        env_file=None, database_url=database_url, state_dir=tmp_path, callers_file=path, tag_caps_usd=caps
    )


@pytest.fixture
def producer(open_settings: Settings) -> Iterator[Producer]:
    """Open a producer."""
    with Producer(open_settings) as producer:
        yield producer


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _status(producer: Producer, settings: Settings, **visit: Any) -> int:
    async def look() -> int:
        async with visiting(producer, settings, **visit) as client:
            response = await client.get(_BATCHES)
            assert response.headers["request-id"]
            if response.status_code != 200:
                assert response.json()["type"] == "error"
            return response.status_code

    return asyncio.run(look())


def test_without_callers_only_this_machine_is_let_in(producer: Producer, open_settings: Settings) -> None:
    assert _status(producer, open_settings) == 200
    assert _status(producer, open_settings, address="::1") == 200
    assert _status(producer, open_settings, headers={"host": "localhost:8700"}) == 200
    own = {"origin": "http://127.0.0.1:8700", "sec-fetch-site": "same-origin"}
    assert _status(producer, open_settings, headers=own) == 200
    assert _status(producer, open_settings, address="192.0.2.7") == 403
    assert _status(producer, open_settings, address="192.0.2.7", headers=_bearer("anything")) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "stepdown.example.com"},
        {"host": "127.0.0.1.example.com:8700"},
        {"origin": "https://example.com"},
        {"origin": "null"},
        {"host": "127.0.0.1:3000"},
        {"host": "localhost"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8700"},
        {"origin": "https://127.0.0.1:8700"},
        {"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"x-forwarded-for": "127.0.0.1"},
        {"via": "1.1 proxy"},
    ],
)
def test_without_callers_neither_a_page_nor_a_proxy_lets_others_in(
    producer: Producer, open_settings: Settings, headers: dict[str, str]
) -> None:
    assert _status(producer, open_settings, headers=headers) == 403


def test_with_callers_only_a_token_lets_in_from_anywhere(producer: Producer, settings: Settings) -> None:
    assert _status(producer, settings) == 401
    assert _status(producer, settings, headers=_bearer("token-of-nobody-0001")) == 401
    assert _status(producer, settings, address="192.0.2.7", headers=_bearer(_AIRFLOW)) == 200
    assert _status(producer, settings, address="192.0.2.7", headers={"x-api-key": _DAGSTER}) == 200


def test_a_caller_sees_its_own_batches_only(producer: Producer, settings: Settings) -> None:
    async def look() -> None:
        body = {"requests": [{"custom_id": "a", "params": asked()}]}
        async with visiting(producer, settings) as client:
            made = (await client.post(_BATCHES, json=body, headers=_bearer(_AIRFLOW))).json()
            others = (await client.post(_BATCHES, json=body, headers=_bearer(_DAGSTER))).json()
            assert made["id"] != others["id"]
            path = f"{_BATCHES}/{made['id']}"
            assert (await client.get(path, headers=_bearer(_AIRFLOW))).status_code == 200
            for method, where in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
                refused = await client.request(method, path + where, headers=_bearer(_DAGSTER))
                assert (refused.status_code, refused.json()["error"]["type"]) == (404, "not_found_error")
            listed = (await client.get(_BATCHES, headers=_bearer(_DAGSTER))).json()
            assert [one["id"] for one in listed["data"]] == [others["id"]]

    asyncio.run(look())
    airflows, dagsters = sorted(
        (producer.store.reports.batch(one.batch_id) for one in producer.store.reports.batches(limit=10)),
        key=lambda row: str(row["tags"]["caller"]),
    )
    assert (airflows["tags"], dagsters["tags"]) == (
        {"team": "media", "caller": "airflow"},
        {"caller": "dagster"},
    )


def test_a_batch_sent_again_within_a_day_is_the_same_by_a_setting(producer: Producer, settings: Settings) -> None:
    def made(own: Settings, *ids: str, **headers: str) -> Any:
        async def post() -> Any:
            body = {"requests": [{"custom_id": one, "params": asked()} for one in ids]}
            async with visiting(producer, own, headers=_bearer(_AIRFLOW) | headers) as client:
                return (await client.post(_BATCHES, json=body)).json()["id"]

        return asyncio.run(post())

    same = settings.model_copy(update={"repeated_batch": "same"})
    assert made(settings, "a", "b") != made(settings, "a", "b")
    first = made(same, "a", "b")
    assert made(same, "b", "a") == first
    assert made(same, "a") != first
    assert made(same, "a", "b", **{"idempotency-key": "k"}) != first


def test_figures_of_the_fleet_are_for_its_operator(
    producer: Producer, open_settings: Settings, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "operated.toml"
    path.write_text(f'{_CALLERS}[me]\ntoken = "token-of-the-operator"\noperator = true\n', encoding="utf-8")
    served: dict[str, Any] = {"state_dir": tmp_path, "callers_file": path, "served_batches": "live"}
    operated = load_settings(env_file=None, database_url=database_url, **served)
    body = {"requests": [{"custom_id": name, "params": asked()} for name in ("a", "b")]}

    async def look() -> dict[str, tuple[str, int]]:
        async with visiting(producer, operated) as client:
            await client.post(_BATCHES, json=body, headers=_bearer(_AIRFLOW))
            response = dict[str, tuple[str, int]]()
            for name, token in {"airflow": _AIRFLOW, "dagster": _DAGSTER, "me": "token-of-the-operator"}.items():
                details = (await client.get("/metrics", headers=_bearer(token))).text
                queued = next(line for line in details.splitlines() if line.startswith('stepdown_jobs{state="queued"}'))
                health = await client.get("/api/v1/health", headers=_bearer(token))
                response[name] = (queued.split()[-1], health.status_code)
            return response

    producer.submit([Prompt("Not through the server.")])
    assert asyncio.run(look()) == {"airflow": ("2", 403), "dagster": ("0", 403), "me": ("3", 200)}
    assert _status(producer, open_settings) == 200


def test_an_idempotency_key_is_a_callers_own(producer: Producer, settings: Settings) -> None:
    async def ask(token: str) -> None:
        headers = _bearer(token) | {"idempotency-key": "tide/1", "x-stainless-timeout": "0.1"}
        async with visiting(producer, settings, headers=headers) as client:
            assert (await client.post("/v1/messages", json=asked())).status_code == 529

    for token in (_AIRFLOW, _DAGSTER, _DAGSTER):
        asyncio.run(ask(token))
    batches = [producer.store.reports.batch(one.batch_id) for one in producer.store.reports.batches(limit=10)]
    assert sorted(row["tags"]["caller"] for row in batches) == ["airflow", "dagster"]


def test_a_batch_of_somebody_elses_making_is_not_there(producer: Producer, settings: Settings) -> None:
    own = producer.submit([Prompt("Not through the server.")], tags={"caller": "airflow"})

    async def look() -> int:
        async with visiting(producer, settings, headers=_bearer(_AIRFLOW)) as client:
            assert (await client.get(_BATCHES)).json()["data"] == []
            return (await client.get(f"{_BATCHES}/msgbatch_{own.id.replace('-', '')}")).status_code

    assert asyncio.run(look()) == 404


def _submitted(producer: Producer, settings: Settings, token: str, tags: dict[str, str]) -> tuple[int, str]:
    async def submit() -> tuple[int, str]:
        async with visiting(producer, settings, headers=_bearer(token) if token else {}) as client:
            response = await client.post("/api/v1/batches", json={"prompts": ["Why?"], "tags": tags})
            answered = response.json()
            return response.status_code, answered["error"]["message"] if "error" in answered else answered["batch"]

    return asyncio.run(submit())


@pytest.mark.parametrize(
    "tags",
    [
        {"team": "media"},
        {"team": "media ", "x": "y"},
        {"caller": "airflow"},
        {"caller_day_cap_usd": "1000"},
        {"via": "mcp"},
        {"project": "tides"},
        {"project=a": "b"},
        {"caller=airflow": ""},
    ],
)
def test_a_tag_that_is_anothers_or_has_a_cap_is_refused_by_its_name(
    producer: Producer, settings: Settings, tags: dict[str, str]
) -> None:
    status, message = _submitted(producer, settings, _DAGSTER, tags)
    assert (status, message.partition(" is not yours")[0]) == (400, f"tags: {min(tags)!r}")
    assert producer.store.reports.batches(limit=1) == []


def test_a_caller_may_repeat_its_own_tags_and_make_up_others(producer: Producer, settings: Settings) -> None:
    status, batch = _submitted(producer, settings, _AIRFLOW, {"team": "media", "harbour": "Ely"})
    assert status == 201
    assert producer.store.reports.batch(batch)["tags"] == {"team": "media", "harbour": "Ely", "caller": "airflow"}


def test_without_callers_a_capped_tag_is_for_whoever_asks_and_ours_are_for_nobody(
    producer: Producer, open_settings: Settings
) -> None:
    capped = open_settings.model_copy(update={"tag_caps_usd": "team=media:5"})  # of which nothing was read yet
    assert _submitted(producer, capped, "", {"team": "media"})[0] == 201
    assert [_submitted(producer, capped, "", {name: "x"})[0] for name in ("caller", "caller_day_cap_usd", "via")] == [
        400
    ] * 3


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"x-stepdown-max-cost-usd": "-1"}, "x-stepdown-max-cost-usd: '-1' should be USD"),
        (
            {"x-stepdown-task": "t" * 201},
            "x-stepdown-task: 'tttttttttttt...ttttttttttttt' should be plain text of at most",
        ),
        ({"content-encoding": "gzip"}, "content-encoding: 'gzip' is not taken; send the body as it is"),
    ],
)
def test_a_header_that_is_wrong_is_named(
    producer: Producer, open_settings: Settings, headers: dict[str, str], text: str
) -> None:
    async def ask() -> list[str]:
        bodies = {"/v1/messages": asked(), _BATCHES: {"requests": [{"custom_id": "a", "params": asked()}]}}
        async with visiting(producer, open_settings, headers={**headers, "x-stainless-timeout": "1"}) as client:
            refused = [await client.post(path, json=body) for path, body in bodies.items()]
            return [response.json()["error"]["message"] for response in refused]

    assert all(message.startswith(text) for message in asyncio.run(ask()))


def test_beyond_loopback_nothing_is_served_without_callers(tmp_path: Path) -> None:
    me: Stranger = stranger_in(tmp_path)
    response = me.types("serve", "--host", "192.0.2.7", expect=2)
    assert "CALLERS_FILE" in response.err


def test_an_address_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        response = stranger_in(tmp_path).types("serve", "--port", str(port), expect=2)
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use); choose another --port" in response.err


@pytest.mark.parametrize("host", ["a..b", "a" * 300, "half \ud800"])
def test_what_can_be_no_name_of_a_machine_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=r"\(no name of a machine\); choose another --port or --host$"):
        listening(host, 0, source="serve")
