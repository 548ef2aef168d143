"""Who may use `stepdown serve`: callers by their tokens, with tags and day caps; every mistake of the file is named."""

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from models.callers import Caller, caller_with, read_callers
from models.errors import SettingsError
from models.settings import load_settings

_TOKEN = "a-token-of-some-length"  # noqa: S105 - nobody's


def _file(folder: Path, text: str) -> Path:
    path = folder / "callers.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_callers(_file(folder, text))
    assert _TOKEN not in str(caught.value)
    return [mistake.fix for mistake in caught.value.mistakes]


def test_a_caller_is_known_by_its_token_or_by_the_digest_of_it(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"another-token-of-some-length").hexdigest()
    callers = read_callers(_file(tmp_path, f'[airflow]\ntoken = "{_TOKEN}"\n[dagster]\ntoken_sha256 = "{digest}"\n'))
    assert [caller.name for caller in callers] == ["airflow", "dagster"]
    assert caller_with(_TOKEN, callers) == callers[0]
    assert caller_with("another-token-of-some-length", callers) == callers[1]
    assert [caller_with(wrong, callers) for wrong in ("", digest, _TOKEN[:-1], "\udc80")] == [None] * 4


def test_its_batches_have_its_tags_and_its_name(tmp_path: Path) -> None:
    text = f'[airflow]\ntoken = "{_TOKEN}"\ntags = {{ team = "media" }}\nday_cap_usd = 2.5\n'
    (caller,) = read_callers(_file(tmp_path, text))
    assert caller.batch_tags == {"team": "media", "caller": "airflow", "caller_day_cap_usd": "2.5"}
    assert caller.day_cap_usd == Decimal("2.5")


def test_its_day_cap_is_a_cap_of_its_tag(tmp_path: Path) -> None:
    path = _file(tmp_path, f'[airflow]\ntoken = "{_TOKEN}"\nday_cap_usd = 2\n')
    settings = load_settings(env_file=None, callers_file=path, tag_caps_usd="team=media:20")
    assert settings.tag_caps == {"team=media": Decimal(20), "caller=airflow": Decimal(2)}


def test_a_cap_that_is_given_twice_is_a_mistake(tmp_path: Path) -> None:
    path = _file(tmp_path, f'[airflow]\ntoken = "{_TOKEN}"\nday_cap_usd = 2\n')
    with pytest.raises(SettingsError, match="give one of them"):
        load_settings(env_file=None, callers_file=path, tag_caps_usd="caller=airflow:20")


def test_no_callers_key_begins_like_anothers() -> None:
    bob, bobby = Caller(name="bob"), Caller(name="bobby")
    assert not bobby.key("batch", "1").startswith(bob.key())
    assert bob.key("batch", "1").startswith(bob.key())


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "names no caller"),
        ("airflow = 1\n", "is no table"),
        ("[airflow]\n", "give either token or token_sha256"),
        ('[airflow]\ntoken = "short"\n', "at least 16"),
        (f'[airflow]\ntoken = "{_TOKEN} "\n', "no space"),
        (f'[airflow]\ntoken = "{_TOKEN}"\ntoken_sha256 = "00"\n', "give either"),
        ('[airflow]\ntoken_sha256 = "00"\n', "64 of the characters"),
        (f'[airflow]\ntoken = "{_TOKEN}"\ntags = {{ caller = "me" }}\n', "is taken"),
        (f'[airflow]\ntoken = "{_TOKEN}"\ntags = {{ team = 1 }}\n', "table of texts"),
        (f'[airflow]\ntoken = "{_TOKEN}"\nday_cap_usd = 0\n', "above 0"),
        (f'[airflow]\ntoken = "{_TOKEN}"\nday_cap_usd = true\n', "such as 2.50"),
        (f'[airflow]\ntoken = "{_TOKEN}"\noperator = "yes"\n', "operator: should be true or false"),
        (f'[airflow]\ntoken = "{_TOKEN}"\nrequests_per_minute = 0\n', "a whole number from 1 to"),
        (f'[airflow]\ntoken = "{_TOKEN}"\nrequests_per_minute = true\n', "a whole number from 1 to"),
        (f'[airflow]\ntoken = "{_TOKEN}"\ncolour = "red"\n', "is unknown"),
        (f'["air/flow"]\ntoken = "{_TOKEN}"\n', "1 to 64 of the characters"),
        (f'[a]\ntoken = "{_TOKEN}"\n[b]\ntoken = "{_TOKEN}"\n', "another caller has the same"),
        ("[airflow\n", "is no TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_without_the_token(tmp_path: Path, text: str, reported: str) -> None:
    assert any(reported in mistake for mistake in _mistakes(tmp_path, text))
