"""`stepdown doctor`: green where all is well; elsewhere each finding says what would be right."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from models.queue.redis_keys import PULSES
from producer.simulator.process import running_simulator
from tests.support.servers.ports import free_port
from tests.support.servers.valkey import running_valkey
from tests.support.sites.command_line import KEY, Stranger, settings_for, stranger_in
from worker.recovery.spool import Spool

GOOD = [
    ("key", "ANTHROPIC_API_KEY is set"),
    ("price", "claude-opus-4-7 5 in, 25 out per million tokens ("),
    ("price", "claude-sonnet-4-6 3 in, 15 out per million tokens ("),
    ("price", "claude-haiku-4-5-20251001 1 in, 5 out per million tokens ("),
    ("ledger", "sqlite:///.stepdown/ledger.db is new; the first command fills it"),
    ("health", "no job succeeded today"),
    ("disk", ""),
    ("broker", "valkey 9."),
    ("broker", "maxmemory-policy is noeviction"),
    ("broker", "appendonly is on"),
    ("broker", "it asks for a password"),
    ("worker", "1 worker claims jobs"),
    ("throttle", "no model is out of rotation, and no limit is used up"),
    ("api", "127.0.0.1:"),
]


@pytest.fixture(scope="module")
def own_valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Valkey that may be spoiled, as a good one: it keeps what it is told."""
    with running_valkey(tmp_path_factory.mktemp("own-valkey"), keeps=True) as url:
        yield url


@pytest.fixture
def admin(own_valkey_url: str) -> Iterator[redis.Redis]:
    """Spoil it; afterwards it is as it was."""
    with redis.Redis.from_url(own_valkey_url) as admin:
        yield admin
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("appendonly", "yes")
        admin.acl_setuser("default", enabled=True, nopass=True, categories=["-@all"], commands=["+ping"])


@pytest.fixture(scope="module")
def settings(own_valkey_url: str) -> Iterator[dict[str, str]]:
    """Write down a setup in which nothing is wrong."""
    with running_simulator() as simulator, redis.Redis.from_url(own_valkey_url) as client:
        client.zadd(PULSES, {"here:1:abc": time.time() + 3600})  # the proof that a worker leaves, for the whole file
        yield settings_for(simulator, REDIS_URL=own_valkey_url)


@pytest.fixture
def me(tmp_path: Path, settings: dict[str, str]) -> Stranger:
    """Work with it."""
    me = stranger_in(tmp_path)
    me.configure(**settings)
    return me


def findings(me: Stranger, *, code: int) -> list[tuple[str, str, str]]:
    """Ask the doctor; returns what is not ok, as verdict, what and said."""
    printed = me.types("doctor", "--jsonl", expect=code)
    assert printed.err == ""
    found = [json.loads(line) for line in printed.out.splitlines()]
    return [(one["verdict"], one["what"], one["message"]) for one in found if one["verdict"] != "ok"]


def test_where_all_is_well_every_finding_is_ok(me: Stranger) -> None:
    printed = me.types("doctor")
    head, *lines = (line.split(maxsplit=2) for line in printed.out.splitlines())
    assert head == ["state", "part", "finding"]
    assert printed.err == ""
    for line, (what, message) in zip(lines, GOOD, strict=True):
        assert line[:2] == ["ok", what]
        assert line[2].startswith(message)
    assert KEY not in printed.out
    assert findings(me, code=0) == []


def test_replies_of_a_lost_worker_that_are_set_aside_or_cannot_be_read_are_told(me: Stranger) -> None:
    folder = me.folder / ".stepdown" / "spool"
    spool = Spool(folder, holder="next:1:aa", report=print)
    (folder / "lost.jsonl").write_bytes(b"rubbish\n" * 3)
    (folder / "odd.jsonl").mkdir()
    assert spool.replay(lambda _kept: None) == 0
    spool.close()
    printed = findings(me, code=0)
    assert [(verdict, what) for verdict, what, _ in printed] == [("warn", "spool"), ("warn", "spool")]
    set_aside, odd = (message for _, _, message in printed)
    assert set_aside.startswith(
        ".stepdown/spool/lost.damaged: 3 damaged lines of a lost worker's replies are set aside"
    )
    assert "(the line has no checksum: it was cut, or another program wrote it)" in set_aside
    assert set_aside.endswith("see `stepdown show --held`, then move the file away")
    assert odd == ".stepdown/spool/odd.jsonl is no file, and no worker reads it: move it away"


def test_a_broker_that_evicts_is_a_failure_for_it_loses_messages_silently(me: Stranger, admin: redis.Redis) -> None:
    admin.config_set("maxmemory-policy", "allkeys-lru")
    ((verdict, what, message),) = findings(me, code=4)
    assert (verdict, what) == ("fail", "broker")
    assert message.startswith("maxmemory-policy is allkeys-lru: queues would lose messages silently; CONFIG SET")


def test_a_broker_that_keeps_nothing_or_knows_no_password_is_a_warning(me: Stranger, admin: redis.Redis) -> None:
    admin.config_set("appendonly", "no")
    admin.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
    (first, second) = findings(me, code=0)
    assert first[:2] == second[:2] == ("warn", "broker")
    assert first[2].startswith("appendonly is off: a restart loses all messages; a worker sends them again")
    assert second[2].startswith("it needs no password: whoever reaches it can stop workers")


def test_a_disk_without_room_for_replies_is_a_failure(me: Stranger, settings: dict[str, str]) -> None:
    me.configure(**settings, MIN_FREE_MB="1000000000")
    ((verdict, what, message),) = findings(me, code=2)
    assert (verdict, what) == ("fail", "disk")
    assert message.endswith("MIN_FREE_MB is 1000000000: a worker here claims no job")


def test_a_price_that_differs_from_the_price_book_is_a_warning_with_both(
    me: Stranger, settings: dict[str, str]
) -> None:
    me.configure(**settings, MODEL_COSTS="claude-haiku-4-5-20251001:0.80:4.00")
    ((verdict, what, message),) = findings(me, code=0)
    assert (verdict, what) == ("warn", "price")
    assert message.startswith("claude-haiku-4-5-20251001: MODEL_COSTS has input 0.8, output 4, ")
    assert "says input 1, output 5, " in message


def test_a_model_that_is_about_to_end_is_a_warning(me: Stranger, settings: dict[str, str]) -> None:
    me.configure(**settings, MODEL_CHAIN="claude-opus-4-7,claude-sonnet-4-5")
    ((verdict, what, message),) = findings(me, code=0)
    assert (verdict, what) == ("warn", "price")
    assert message.startswith("claude-sonnet-4-5 ")
    assert "retired on 2026-11-30" in message


def test_a_price_that_a_person_set_is_known_to_the_doctor(me: Stranger, settings: dict[str, str]) -> None:
    me.configure(**settings, MODEL_CHAIN="my-own-model")
    me.types("prices", "set", "my-own-model", "--input", "1", "--output", "5")
    ((verdict, what, message),) = findings(me, code=0)
    assert (verdict, what) == ("warn", "api")
    assert "answers, but not for my-own-model (404: model: my-own-model): jobs step past them" in message
    found = " ".join(me.types("doctor").out.split())
    assert "ok price my-own-model 1 in, 5 out per million tokens (prices set on " in found


def test_a_model_without_a_price_and_a_missing_key_are_failures_and_end_with_2(
    me: Stranger, settings: dict[str, str]
) -> None:
    me.configure(**settings | {"ANTHROPIC_API_KEY": "", "MODEL_CHAIN": "my-own-model"})
    assert findings(me, code=2) == [
        ("fail", "key", "ANTHROPIC_API_KEY is not set: put it in .env"),
        (
            "fail",
            "price",
            (
                "my-own-model has no price: add it to MODEL_COSTS, or "
                "`stepdown prices set my-own-model --input USD --output USD`"
            ),
        ),
    ]


def test_a_ledger_a_broker_and_an_api_that_are_away_are_all_told_and_end_with_4(
    me: Stranger, settings: dict[str, str]
) -> None:
    away = free_port()
    me.configure(
        **settings
        | {
            "DATABASE_URL": f"postgresql://u:hidden@127.0.0.1:{away}/d",
            "REDIS_URL": f"redis://u:hidden@127.0.0.1:{away}/0",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{away}",
        }
    )
    found = findings(me, code=4)
    assert [one[:2] for one in found] == [("fail", "ledger"), ("fail", "broker"), ("warn", "api")]
    assert f"127.0.0.1:{away} cannot be reached (Connection refused): look at ANTHROPIC_BASE_URL" in found[2][2]
    assert not [one for one in found if "hidden" in one[2]]


def test_without_redis_url_it_says_who_will_bring_a_broker(me: Stranger, settings: dict[str, str]) -> None:
    me.configure(**settings | {"REDIS_URL": ""})
    printed = "REDIS_URL is not set and none runs here; `stepdown worker` will bring its own"
    no_worker = "no worker claims jobs: start `stepdown worker`; where one runs, its log tells what it waits for"
    assert findings(me, code=4) == [("warn", "broker", printed), ("fail", "worker", no_worker)]


def test_each_endpoint_is_named_and_asked_where_a_person_wants_to_pay(tmp_path: Path) -> None:
    me = stranger_in(tmp_path)
    with running_simulator() as usual, running_simulator() as cloud:
        table = f'[cloud]\nkind = "compatible"\nbase_url = "{cloud.url}"\nkey = "k"\n[away]\nkind = "compatible"\n'
        away = f"http://127.0.0.1:{free_port()}"
        me.write("endpoints.toml", f'{table}base_url = "{away}"\nprices = {{ small = "0:0" }}\n')
        chain = "claude-opus-4-7,cloud/claude-opus-4-7,away/small"
        me.configure(
            ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=usual.url, MODEL_CHAIN=chain, ENDPOINTS_FILE="endpoints.toml"
        )
        printed = me.types("doctor", "--ask", "--jsonl", expect=None)
        found = [json.loads(line) for line in printed.out.splitlines()]
        endpoints = [one["message"] for one in found if one["what"] == "endpoint"]
        assert endpoints[0].startswith("cloud: 127.0.0.1:")
        assert endpoints[1].startswith(f"away: {away.removeprefix('http://')} cannot be reached (")
        well, paid, gone = [(one["verdict"], one["message"]) for one in found if one["what"] == "ask"]
        assert well[1].startswith("claude-opus-4-7: claude-opus-4-7 answered in ")
        assert "usage cache_creation" in well[1]
        assert "; cost $0.000" in well[1]
        assert paid[0] == "ok"
        assert paid[1].startswith("cloud/claude-opus-4-7: cloud/claude-opus-4-7 answered in ")
        assert (gone[0], gone[1].startswith("away/small: ")) == ("fail", True)
        assert [len(each.purchases()) for each in (usual, cloud)] == [1, 1]
