"""Thousands of bodies that nobody should send: none breaks the server, and nothing is accepted that no model takes."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from sqlalchemy import Engine, select

from models.ledger.ledger import Ledger
from models.outcome import State
from models.schema.job import Job
from models.settings import Settings, load_settings
from producer.client import Producer
from producer.simulator.request.checks import RefusedError, read_prompt
from producer.simulator.request.versions import Head
from producer.web.api.v1_openapi import openapi
from tests.support.ledgers.job_values import answered
from tests.support.servers.fixtures import opened
from tests.support.sites.app_client import asked, visiting
from tests.support.sites.serve_site import own_id

_BODIES = 5_000
_BATCH_BODIES = 2_000  # most of them are accepted: what is wrong errs alone
_OWN_BODIES = 2_000
_AT_ONCE = 16
_OF_THE_MODEL = ("temperature", "top_p", "top_k", "thinking", "output_config")  # some take them, some do not
_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, 7.0, -0.0, 1e308, "", " ", "a", "claude-opus-4-7", "user",
    "assistant", "text", "\0", "\ud800", "\u2028", "x" * 300, "msgbatch_0", [], {}, [[]], [None], [{}], {"": None},
    {"type": "text"}, {"type": "text", "text": "hm"}, {"role": "user"}, {"role": "assistant", "content": "So"},
)  # fmt: skip
_NAMES = (
    "model", "max_tokens", "messages", "system", "stream", "temperature", "top_k", "stop_sequences", "tools",
    "metadata",
    "tool_choice", "thinking", "custom_id", "params", "requests", "role", "content", "type", "text", "", "__proto__",
)  # fmt: skip
_RAW = (
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"max_tokens": 1' + b"0" * 5000 + b"}",
    b'"' + b"\\ud800" + b'"', b"\xef\xbb\xbf{}", b'{"model": 1e999}',
    b'{"requests": ' + b"[" * 5000 + b"]" * 5000 + b"}",
)  # fmt: skip
_NEW_BATCH = {
    "prompts": [
        "Why is the sea salt?",
        {"id": "b", "prompt": "Explain tides.", "max_tokens": 30, "start": "claude-sonnet-4-6", "page": 7},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Explain rain."}]}], "system": "Be brief."},
    ],
    "task": "explain",
    "tags": {"team": "media"},
    "max_cost_usd": "0.50",
    "weight": 2,
}
_ACROSS_FIELDS = (
    b"ids are unique",
    b"it must lie between",
    b"first message should be the user's",
)  # what no schema can say


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Make settings without a broker: accepted is accepted all the same."""
    return load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path)


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    """Open a producer."""
    with Producer(settings) as producer:
        yield producer


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """Open its ledger once more."""
    with opened(sqlite_url) as engine:
        yield engine


def _mutated(value: Any, dice: random.Random) -> Any:
    """Change one place somewhere in a JSON value."""
    if isinstance(value, dict) and value and dice.random() < 0.75:
        name = dice.choice([*value])
        return {**value, name: _mutated(value[name], dice)}
    if isinstance(value, list) and value and dice.random() < 0.75:
        place = dice.randrange(len(value))
        return [*value[:place], _mutated(value[place], dice), *value[place + 1 :]]
    return dice.choice((_less, _more, _other))(value, dice)


def _less(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict) and value:
        gone = dice.choice([*value])
        return {name: kept for name, kept in value.items() if name != gone}
    return value[:-1] if isinstance(value, str | list) else None


def _more(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        return {**value, dice.choice(_NAMES): dice.choice(_ODD)}
    return [*value, dice.choice(_ODD)] if isinstance(value, list) else [value]


def _other(_: Any, dice: random.Random) -> Any:
    return dice.choice(_ODD)


def _bodies(valid: Any, dice: random.Random, count: int) -> Iterator[bytes]:
    yield from _RAW
    for _ in range(count - len(_RAW)):
        body = valid
        for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
            body = _mutated(body, dice)
        raw = json.dumps(body).encode()
        if dice.random() < 0.1:
            place = dice.randrange(len(raw) or 1)
            raw = raw[:place] + bytes([dice.randrange(256)]) + raw[place + 1 :]
        yield raw


def _rubbish(params: dict[str, Any]) -> str | None:
    """Say why no model takes these parameters, as the simulated API does; None where one may."""
    plain = {name: value for name, value in params.items() if name not in {*_OF_THE_MODEL, "stream"}}
    plain |= {"model": "claude-sonnet-4-6", "max_tokens": min(params["max_tokens"], 64_000)}
    if plain["messages"][-1]["role"] == "assistant":
        plain["messages"] = [*plain["messages"], {"role": "user", "content": "Go on."}]
    try:
        read_prompt(json.dumps(plain).encode(), Head())
    except RefusedError as refused:
        return str(refused)
    return None


def _is_plain(raw: bytes) -> bool:
    """Tell whether a body is JSON without what a schema cannot see: half surrogates, an answer begun with nothing."""
    try:
        text = raw.decode()
        json.loads(text, parse_constant=float.fromhex)
    except (ValueError, RecursionError):
        return False
    return r"\ud" not in text and '"content": ""' not in text


@contextmanager
def _answering(engine: Engine) -> Iterator[None]:
    """Answer whatever is queued: the worker is not what is asked here."""
    ledger, is_over = Ledger(engine, worker="here"), Event()
    queued = select(Job.id).where(Job.state == State.QUEUED, Job.is_urgent)

    def answer() -> None:
        while not is_over.wait(0.02):
            with engine.connect() as connection:
                ids = connection.scalars(queued).all()
            for job_id in ids:
                answered(ledger, job_id)

    thread = Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


async def _sent(client: httpx2.AsyncClient, path: str, bodies: Iterator[bytes]) -> list[tuple[int, bytes, bytes]]:
    """Send every body, some at once; returns status, body and answer of each."""
    sent = list[tuple[int, bytes, bytes]]()

    async def send_some() -> None:
        for body in bodies:
            response = await client.post(path, content=body)
            sent.append((response.status_code, body, response.content))

    await asyncio.gather(*(send_some() for _ in range(_AT_ONCE)))
    return sent


def _swept(
    producer: Producer, settings: Settings, path: str, valid: Any, seed: int, *, count: int = _BODIES
) -> list[tuple[int, bytes, bytes]]:
    async def sweep() -> list[tuple[int, bytes, bytes]]:
        async with visiting(producer, settings) as client:
            return await _sent(client, path, _bodies(valid, random.Random(f"{seed} {path}"), count))

    sent = asyncio.run(sweep())
    assert len(sent) == count
    statuses = Counter(status for status, _, _ in sent)
    assert [body for status, body, _ in sent if status >= 500] == [], statuses
    assert statuses[200] + statuses[201] > count // 100, "some are still in order"
    for status, body, response in sent:
        if status >= 400:
            error = json.loads(response)
            assert (error["type"], bool(error["error"]["message"])) == ("error", True), body
    return sent


def test_no_body_breaks_the_messages_api_and_no_rubbish_is_accepted(
    producer: Producer, settings: Settings, engine: Engine, seed: int
) -> None:
    valid = asked(system="Be brief.", temperature=0.5, stop_sequences=["END"], metadata={"user_id": "7"})
    with _answering(engine):
        sent = _swept(producer, settings, "/v1/messages", valid, seed)
    taken = [json.loads(body) for status, body, _ in sent if status == 200]
    assert [body for body in taken if body["model"] not in producer.models or _rubbish(body)] == []


def test_no_body_breaks_the_batches_api_and_rubbish_errs_alone(
    producer: Producer, settings: Settings, seed: int
) -> None:
    params = asked(tools=[{"name": "look", "input_schema": {"type": "object"}}])
    valid = {"requests": [{"custom_id": name, "params": params} for name in ("a", "b-2", "C_3")]}
    sent = _swept(producer, settings, "/v1/messages/batches", valid, seed, count=_BATCH_BODIES)
    for status, body, response in sent:
        if status == 200:
            requests = json.loads(body)["requests"]
            ended = {one.id: one for one in producer.store.reports.answers(own_id(json.loads(response)["id"]))}
            assert len(ended) == len(requests) > 0
            for each in requests:
                is_refused = ended[each["custom_id"]].state is State.FAILED
                assert is_refused or _rubbish(each["params"]) is None, each


def test_our_own_api_takes_what_its_document_says_and_nothing_else(
    producer: Producer, settings: Settings, seed: int
) -> None:
    document = openapi(producer.models)
    described = {"$ref": "#/components/schemas/NewBatch", "components": document["components"]}
    is_right = jsonschema_rs.validator_for(described).is_valid
    answers = document["paths"]["/api/v1/batches"]["post"]["responses"]
    sent = _swept(producer, settings, "/api/v1/batches", _NEW_BATCH, seed, count=_OWN_BODIES)
    for status, body, response in sent:
        schema = answers[str(status)]["content"]["application/json"]["schema"]
        jsonschema_rs.validate({**schema, "components": document["components"]}, json.loads(response))
        if _is_plain(body) and not any(word in response for word in _ACROSS_FIELDS):
            assert (status < 400) == is_right(json.loads(body)), (body, response)
