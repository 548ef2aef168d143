"""Settings come from the environment, .env and secret files; every mistake is named before anything starts."""

import os
from pathlib import Path

import pytest

from models.errors import Mistake, SettingsError
from models.outcome import Outcome
from models.settings import DEFAULT_CHAIN, Settings, child_environment, load_settings

_SECRET = "sk-ant-canary-7391"  # noqa: S105 - nobody's


@pytest.fixture(autouse=True)
def _no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _mistakes(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, Mistake]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert _SECRET not in str(caught.value)
    return {mistake.variable: mistake for mistake in caught.value.mistakes}


def test_an_empty_environment_is_enough_to_start() -> None:
    settings = load_settings()
    assert settings.chain.models == tuple(DEFAULT_CHAIN.split(","))
    assert settings.database_url.get_secret_value() == "sqlite:///.stepdown/ledger.db"
    assert settings.redis_url is None
    assert settings.price_overrides == {}
    assert settings.climbs == frozenset()


def test_variables_are_the_field_names_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_CHAIN", "opus, haiku")
    monkeypatch.setenv("TASK_STARTS", "summarize:haiku")
    monkeypatch.setenv("MODEL_COSTS", "opus:5:25")
    monkeypatch.setenv("CLIMB_ON", "truncated, refused")
    monkeypatch.setenv("CALL_TIMEOUT_S", "2.5")
    settings = load_settings()
    assert settings.chain.models == ("opus", "haiku")
    assert settings.chain.starts == {"summarize": 1}
    assert settings.price_overrides["opus"].rates.output == 25
    assert settings.climbs == {Outcome.TRUNCATED, Outcome.REFUSED}
    assert settings.call_timeout_s == 2.5


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert load_settings() == Settings(_env_file=None)


def test_a_file_beside_us_is_read_and_the_environment_beats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text('QUEUE_WINDOW=7\nPATIENCE_S="3"\nSOMETHING_ELSE=1\n', encoding="utf-8")
    monkeypatch.setenv("PATIENCE_S", "4")
    settings = load_settings()
    assert (settings.queue_window, settings.patience_s) == (7, 4)


def test_an_override_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_WINDOW", "9")
    assert load_settings(queue_window=8).queue_window == 8


def test_an_env_file_that_is_not_utf8_is_a_mistake_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("FLOWER_USER=M\u00fcller".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"\.env: save it as UTF-8"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("WORKER_CONCURRENCY", "many", "valid integer"),
        ("WORKER_CONCURRENCY", "0", "greater than or equal to 1"),
        ("CALL_TIMEOUT_S", "-1", "greater than 0"),
        ("CALL_TIMEOUT_S", "inf", "less than or equal to 3600"),
        ("JOB_DEADLINE_S", "nan", "less than or equal to"),
        ("JOB_DEADLINE_S", "inf", "less than or equal to 315360000"),
        ("JOB_DEADLINE_S", "1e30", "less than or equal to 315360000"),
        ("PATIENCE_S", "inf", "less than or equal to 86400"),
        ("PATIENCE_S", "nan", "less than or equal to 86400"),
        ("KEY_PAUSE_S", "inf", "less than or equal to 86400"),
        ("KEY_PAUSE_S", "nan", "less than or equal to 86400"),
        ("CONNECT_TIMEOUT_S", "nan", "less than or equal to 120"),
        ("CLOCK_TICK_S", "0", "greater than or equal to 0.05"),
        ("QUEUE_WINDOW", "1.5", "integer"),
        ("ANTHROPIC_BASE_URL", "api.anthropic.com", "https://"),
        ("ANTHROPIC_BASE_URL", "http://x:abc", "name a host"),
        ("ANTHROPIC_BASE_URL", "http://[x", "name a host"),
        ("ANTHROPIC_BASE_URL", "http://", "name a host"),
        ("FLOWER_USER", "us:er", "neither : nor ,"),
        ("FLOWER_USER", "us,er", "neither : nor ,"),
        ("MODEL_CHAIN", "opus,,haiku", "not a model name"),
        ("MODEL_CHAIN", ",", "at least one model"),
        ("MODEL_COSTS", "opus:free:25", "not a number"),
        ("TASK_STARTS", "summarize:gpt", "not in MODEL_CHAIN"),
        ("CLIMB_ON", "timed_out", "choose from truncated, empty, refused, invalid"),
    ],
)
def test_a_mistake_names_the_variable_its_value_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, fix: str
) -> None:
    mistakes = _mistakes(monkeypatch, **{variable: value})
    assert set(mistakes) == {variable}
    assert mistakes[variable].value == value
    assert fix in mistakes[variable].fix
    assert str(mistakes[variable]).startswith(f"{variable}={value}: ")


def test_mistakes_of_every_kind_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = _mistakes(
        monkeypatch,
        WORKER_CONCURRENCY="many",
        CALL_TIMEOUT_S="soon",
        REDIS_URL_FILE="/nowhere/redis",
        DATABASE_URL_FILE="/nowhere/database",
        MODEL_CHAIN="opus,opus",
        MODEL_COSTS="opus:1",
        CLIMB_ON="bored",
    )
    assert sorted(mistakes) == [
        "CALL_TIMEOUT_S",
        "CLIMB_ON",
        "DATABASE_URL_FILE",
        "MODEL_CHAIN",
        "MODEL_COSTS",
        "REDIS_URL_FILE",
        "WORKER_CONCURRENCY",
    ]


def test_a_broker_that_is_not_redis_is_refused_without_showing_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = _mistakes(monkeypatch, REDIS_URL=f"amqp://us:{_SECRET}@host", WORKER_CONCURRENCY="many")
    assert mistakes["REDIS_URL"].value == "(hidden)"
    assert "redis://" in mistakes["REDIS_URL"].fix
    assert "WORKER_CONCURRENCY" in mistakes


def test_settings_never_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", _SECRET)
    monkeypatch.setenv("REDIS_URL", f"redis://us:{_SECRET}@host")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://us:{_SECRET}@host/ledger")
    monkeypatch.setenv("FLOWER_PASSWORD", _SECRET)
    settings = load_settings()
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert _SECRET not in shown


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_ADMIN_KEY", "REDIS_URL", "DATABASE_URL"])
def test_a_secret_may_be_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret = f"redis://us:{_SECRET}@host"
    (tmp_path / "secret").write_text(f"{secret}\n", encoding="utf-8")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    assert getattr(load_settings(), name.lower()).get_secret_value() == secret


def test_a_wrong_secret_in_a_file_is_named_and_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(_SECRET, encoding="utf-8")
    mistakes = _mistakes(monkeypatch, REDIS_URL_FILE=str(tmp_path / "secret"))
    assert mistakes["REDIS_URL"].value == "(hidden)"


def test_a_secret_given_directly_beats_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from the file", encoding="utf-8")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from the environment")
    key = load_settings().anthropic_api_key
    assert key is not None
    assert key.get_secret_value() == "from the environment"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_read_is_named_by_its_own_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    mistakes = _mistakes(monkeypatch, ANTHROPIC_API_KEY_FILE=str(path))
    assert mistakes["ANTHROPIC_API_KEY_FILE"].value == str(path)
    assert "name a readable text file" in mistakes["ANTHROPIC_API_KEY_FILE"].fix


def test_a_child_gets_our_environment_with_the_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    environment = child_environment({"MODEL_CHAIN": "opus"})
    assert (environment["INHERITED"], environment["MODEL_CHAIN"]) == ("yes", "opus")
    assert "MODEL_CHAIN" not in os.environ


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/messages", "/v1/messages/"])
def test_an_api_address_is_taken_with_or_without_the_apis_own_path(path: str) -> None:
    for host in ("https://api.anthropic.com", "http://127.0.0.1:8080/gateway"):
        assert load_settings(env_file=None, anthropic_base_url=f"{host}{path}").anthropic_base_url == host
