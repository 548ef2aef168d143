"""Secrets as people paste them: taken where the fix is plain, refused unseen where it is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.database.engine import database_url
from models.errors import Mistake, SettingsError
from models.settings import load_settings

_SECRET = "sk-ant-canary-7391"  # noqa: S105 - nobody's


@pytest.fixture(autouse=True)
def _no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _mistake(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> Mistake:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    (mistake,) = caught.value.mistakes
    assert mistake.variable == variable
    return mistake


def _hidden(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> str:
    """Have a value refused without a word of it; returns the fix."""
    mistake = _mistake(monkeypatch, variable, value)
    assert mistake.value == "(hidden)"
    assert "canary" not in str(mistake)
    return mistake.fix


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_ADMIN_KEY", "REDIS_URL", "DATABASE_URL"])
@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n"])
def test_the_space_around_what_was_pasted_is_dropped(
    monkeypatch: pytest.MonkeyPatch, variable: str, around: str
) -> None:
    value = f"redis://us:{_SECRET}@host"
    monkeypatch.setenv(variable, around.format(value))
    assert getattr(load_settings(), variable.lower()).get_secret_value() == value


def test_a_key_of_nothing_but_space_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", " \n")
    assert load_settings().anthropic_api_key is None


@pytest.mark.parametrize("inside", ["\n", "\r", "\x7f", "\u200b", "é"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    assert "copy it again" in _hidden(monkeypatch, "ANTHROPIC_API_KEY", f"{_SECRET}{inside}canary")


def test_a_key_in_a_file_is_held_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{_SECRET}\n{_SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"ANTHROPIC_API_KEY=\(hidden\)") as caught:
        load_settings()
    assert _SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "secret"),
    [
        ("ANTHROPIC_API_KEY_FILE", _SECRET),
        ("REDIS_URL_FILE", f"redis://:{_SECRET}@host/0"),
        ("DATABASE_URL_FILE", f"postgresql://us:{_SECRET}@host/ledger"),
    ],
)
def test_a_secret_where_its_files_name_belongs_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, secret: str
) -> None:
    assert "name a readable text file" in _hidden(monkeypatch, variable, secret)


def test_a_file_name_with_a_zero_byte_is_a_mistake_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"ANTHROPIC_API_KEY_FILE=/run/a\0b\n")
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY_FILE="):
        load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:canary/pw@host/0",
        "redis://:1234/canary@host/0",
        "redis://:1234?canary@host/0",
        "redis://:1234#canary@host/0",
        "redis://:canary@host:abc/0",
        "redis://:canary@host:99999/0",
        "redis://:canary@[host/0",
        "redis://:canary@host/zero",
    ],
)
def test_a_broker_url_that_cannot_be_read_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert "percent-encode the password" in _hidden(monkeypatch, "REDIS_URL", url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis:///0",
        "redis://:p%2Fw@host:6379/0",
        "rediss://us:pw@[::1]:6380/1?ssl_cert_reqs=none",
    ],
)
def test_a_broker_url_in_order_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    found = load_settings().redis_url
    assert found is not None
    assert found.get_secret_value() == url


def test_a_password_in_the_apis_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    _hidden(monkeypatch, "ANTHROPIC_BASE_URL", "ftp://us:canary@host")


def test_a_flower_password_that_would_be_read_as_two_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no comma" in _hidden(monkeypatch, "FLOWER_PASSWORD", "canary,other:one")


@given(st.lists(st.sampled_from("@/:?#&=[] "), min_size=1, max_size=3), st.sampled_from(["h", "h:5432", "[::1]:5432"]))
def test_no_part_of_a_password_is_ever_shown(marks: list[str], host: str) -> None:
    password = "".join(f"canary{mark}" for mark in marks) + "canary"
    for user in ("u", "us/er", "us@er"):
        assert "canary" not in _shown(f"postgresql://{user}:{password}@{host}/d")


def _shown(url: str) -> str:
    try:
        where = database_url(url)
    except SettingsError as error:
        return str(error)
    return where.render_as_string(hide_password=True)
