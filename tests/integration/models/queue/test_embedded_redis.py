"""A machine without Redis gets a real one: behind a password, found by the next process, kept over a restart."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from models.errors import BrokerError
from models.ids import new_id
from models.job.values import Unsent
from models.queue.broker import Broker
from models.queue.embedded_redis import broker_url, required_broker_url, running_broker
from models.queue.redis_keys import PREFIX
from models.settings import Settings, load_settings

_START_AND_SAY_WHERE = """
import sys
from pathlib import Path
from models.queue.embedded_redis import running_broker
from models.settings import load_settings
with running_broker(load_settings(env_file=None, state_dir=Path(sys.argv[1]))) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Know no Redis, and a folder of our own."""
    return load_settings(env_file=None, state_dir=tmp_path / ".stepdown")


def _note(settings: Settings) -> Path:
    return settings.state_dir / "broker.json"


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """Run the embedded broker."""
    with running_broker(settings) as url:
        yield url


def test_it_holds_messages_like_any_other(url: str) -> None:
    broker = Broker(url)
    broker.send([Unsent(id=new_id(), rung=1)])
    assert (broker.depth(1), broker.try_lead("here", for_s=5)) == (1, True)
    facts = broker.facts()
    assert (facts["maxmemory-policy"], facts["appendonly"], facts["open"]) == ("noeviction", "yes", "no")
    broker.close()


def test_a_stranger_may_ask_whether_it_is_up_and_nothing_else(url: str) -> None:
    stranger_url = f"redis://{url.partition('@')[2]}"
    with redis.Redis.from_url(stranger_url) as stranger:
        assert stranger.ping()
        for forbidden in (lambda: stranger.get(f"{PREFIX}rung-0"), stranger.info, lambda: stranger.set("a", "b")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                forbidden()


def test_we_may_touch_our_own_keys_and_nothing_else(url: str) -> None:
    with redis.Redis.from_url(url) as ours:
        ours.set(f"{PREFIX}a", "b")
        for forbidden in (lambda: ours.set("a", "b"), ours.flushall, lambda: ours.config_set("appendonly", "no")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                forbidden()


def test_its_note_and_its_users_are_readable_by_nobody_else(url: str, settings: Settings) -> None:
    password = url.split(":")[2].partition("@")[0]
    with_password = [path for path in settings.state_dir.rglob("*") if path.is_file() and _holds(path, password)]
    assert with_password == [_note(settings)]
    for private in (_note(settings), settings.state_dir / "broker" / "users.acl"):
        assert private.stat().st_mode & 0o777 == 0o600


def _holds(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()


def test_the_next_process_finds_it_and_does_not_end_it(url: str, settings: Settings) -> None:
    assert broker_url(settings) == required_broker_url(settings) == url
    with running_broker(settings) as found:
        assert found == url
    with redis.Redis.from_url(url) as client:
        assert client.ping()


def test_nothing_is_left_of_it_when_its_process_ends(settings: Settings) -> None:
    with running_broker(settings) as url:
        pass
    assert not _note(settings).exists()
    assert broker_url(settings) is None
    with redis.Redis.from_url(url) as client, pytest.raises(redis.exceptions.ConnectionError):
        client.ping()


def test_without_any_broker_we_are_told_how_to_have_one(settings: Settings) -> None:
    with pytest.raises(BrokerError, match=r"start `stepdown worker`.*or set REDIS_URL"):
        required_broker_url(settings)


def test_a_redis_that_is_named_is_taken_as_it_is(tmp_path: Path, redis_url: str) -> None:
    settings = load_settings(env_file=None, state_dir=tmp_path, redis_url=redis_url)
    with running_broker(settings) as url:
        assert url == redis_url
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("note", ["", "[]", '{"pid": 1}', '{"url": "redis://x"}'])
def test_a_note_that_says_nothing_or_whose_owner_is_gone_is_no_broker(settings: Settings, note: str) -> None:
    settings.state_dir.mkdir()
    (settings.state_dir / "broker.owner").touch()
    _note(settings).write_text(note, encoding="utf-8")
    assert broker_url(settings) is None


def test_a_killed_owner_is_followed_by_the_next_whoever_has_its_process_id_by_then(settings: Settings) -> None:
    with _killed_owner(settings) as left:
        assert broker_url(settings) is None
        note = _note(settings)
        message = json.loads(note.read_text(encoding="utf-8"))
        note.write_text(json.dumps(message | {"pid": os.getpid()}), encoding="utf-8")  # as in a container: 1 is 1 again
        assert broker_url(settings) is None
        with running_broker(settings) as url, redis.Redis.from_url(url) as client:
            assert client.ping()
            assert (url != left, broker_url(settings)) == (True, url)
        with redis.Redis.from_url(left) as client, pytest.raises(redis.exceptions.ConnectionError):
            client.ping()


@contextmanager
def _killed_owner(settings: Settings) -> Iterator[str]:
    command = [sys.executable, "-c", _START_AND_SAY_WHERE, str(settings.state_dir)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=dict(os.environ), **pipes) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert broker_url(settings) == url
        owner.kill()
    yield url


def test_messages_outlive_an_owner_that_was_killed(settings: Settings) -> None:
    with _killed_owner(settings) as left:
        broker = Broker(left)
        broker.send([Unsent(id=new_id(), rung=0)])
        broker.close()
        with running_broker(settings) as url:
            broker = Broker(url)
            assert broker.depth(0) == 1
            broker.close()


def test_messages_outlive_a_restart(settings: Settings) -> None:
    for expected in (1, 2):
        with running_broker(settings) as url:
            broker = Broker(url)
            broker.send([Unsent(id=new_id(), rung=0)])
            assert broker.depth(0) == expected
            broker.close()


def test_a_server_that_cannot_start_is_told_with_a_way_out(settings: Settings) -> None:
    files = settings.state_dir / "broker" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text("Dear diary,", encoding="utf-8")
    with pytest.raises(BrokerError, match="set REDIS_URL to use another"), running_broker(settings):
        pass
    assert not _note(settings).exists()


def test_a_folder_that_cannot_be_one_is_told_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = load_settings(env_file=None, state_dir=tmp_path / "file")
    with pytest.raises(BrokerError, match="set STATE_DIR to a folder of yours"), running_broker(settings):
        pass
    (tmp_path / "broker").touch()
    settings = load_settings(env_file=None, state_dir=tmp_path)
    with pytest.raises(BrokerError, match="cannot be written"), running_broker(settings):
        pass


def test_processes_that_start_together_share_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _START_AND_SAY_WHERE, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env=dict(os.environ), **pipes) for _ in range(3)]
    try:
        urls = {process.stdout.readline().strip() for process in started if process.stdout}
        assert len(urls) == 1
    finally:
        for process in started:
            process.communicate(timeout=30)


def test_a_link_in_the_folder_is_replaced_and_never_followed(settings: Settings, tmp_path: Path) -> None:
    settings.state_dir.mkdir()
    others = tmp_path / "others.json"
    others.write_text(json.dumps({"url": "redis://u:p@127.0.0.1:1/0"}), encoding="utf-8")
    before = others.read_text(encoding="utf-8")
    _note(settings).symlink_to(others)
    assert broker_url(settings) is None
    with running_broker(settings) as url:
        assert broker_url(settings) == url
        assert not _note(settings).is_symlink()
        assert _note(settings).stat().st_mode & 0o777 == 0o600
    assert others.read_text(encoding="utf-8") == before


def test_a_link_in_place_of_the_lock_is_refused_by_name(settings: Settings, tmp_path: Path) -> None:
    settings.state_dir.mkdir()
    (tmp_path / "mine").write_text("kept", encoding="utf-8")
    (settings.state_dir / "broker.lock").symlink_to(tmp_path / "mine")
    with (
        pytest.raises(BrokerError, match=r"cannot be written \(Too many levels of symbolic links\)"),
        running_broker(settings),
    ):
        pass
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "kept"
