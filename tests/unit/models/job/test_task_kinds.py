"""TASKS_FILE: what a task kind asks of its jobs; what a caller says comes first, what is usual last."""

from pathlib import Path
from typing import Any

import pytest

from models.chain.chain import Chain, RungRange
from models.errors import SettingsError
from models.job.task_kinds import JobTerms, read_kinds, terms_for, within
from models.outcome import Outcome
from models.settings import load_settings

MODELS = ("big", "middle", "small")
TRUNCATED, EMPTY, REFUSED, INVALID = Outcome.TRUNCATED, Outcome.EMPTY, Outcome.REFUSED, Outcome.INVALID
WHOLE = """
[summarize]
floor = "small"
ceiling = "middle"
patience_s = 30
deadline_s = 3600
climb_on = ["truncated", "refused"]
half_price = true
[summarize.expects]
min_chars = 40
pattern = "(?s)^Summary:"
json_schema = "summary.schema.json"
["a kind with spaces"]
expects = {json_schema = {type = "object"}}
"""


def _read(tmp_path: Path, text: str) -> dict[str, JobTerms]:
    path = tmp_path / "tasks.toml"
    path.write_text(text, encoding="utf-8")
    return read_kinds(path, MODELS)


def test_a_kind_says_all_it_asks_of_its_jobs(tmp_path: Path) -> None:
    (tmp_path / "summary.schema.json").write_text('{"type": "string"}', encoding="utf-8")
    kinds = _read(tmp_path, WHOLE)
    assert kinds["summarize"] == JobTerms(
        floor="small",
        ceiling="middle",
        patience_s=30,
        deadline_s=3600,
        climb_on=frozenset({TRUNCATED, REFUSED}),
        expects={"min_chars": 40, "pattern": "(?s)^Summary:", "json_schema": {"type": "string"}},
        half_price=True,
    )
    assert kinds["a kind with spaces"] == JobTerms(expects={"json_schema": {"type": "object"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[s]\nfloor = 'huge'", "[s] floor: 'huge' is not in MODEL_CHAIN (big, middle, small)"),
        ("[s]\nfloor = 'big'\nceiling = 'small'", "[s] ceiling: small is below the floor big"),
        ("[s]\npatience_s = -1", "[s] patience_s: -1 should be a number of seconds from 0 to 86400"),
        ("[s]\npatience_s = nan", "[s] patience_s: nan should be a number of seconds"),
        ("[s]\ndeadline_s = true", "[s] deadline_s: True should be a number of seconds from 1"),
        ("[s]\nclimb_on = 'empty'", "[s] climb_on: 'empty' should be a list of truncated, empty, refused, invalid"),
        ("[s]\nclimb_on = ['cut', 3]", "[s] climb_on: 3, cut cannot climb; choose from truncated, empty"),
        ("[s]\nhalf_price = 'yes'", "[s] half_price: 'yes' should be true or false"),
        ("[s]\nceilling = 'big'", "[s] ceilling: is unknown; choose from floor, ceiling, patience_s"),
        ("[s.expects]\nmin_chars = 'x'", "[s] expects.min_chars: 'x' should be a whole number"),
        ("[s]\nexpects = 5", "[s] expects: 5 should hold min_chars"),
        ("[s.expects]\njson_schema = 'none.json'", "[s] expects.json_schema: '"),
        ("s = 5", "s: is no table: begin each task kind with [its-name]"),
        ("[s", "is no TOML: "),
    ],
)
def test_a_mistake_names_file_table_field_and_what_is_right(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        _read(tmp_path, text)
    assert str(refused.value).startswith(f"settings: TASKS_FILE={tmp_path / 'tasks.toml'}: {message}")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        _read(tmp_path, "[a]\nfloor = 'x'\npatience_s = -1\n[b]\nclimb_on = ['x']\n")
    assert len(refused.value.mistakes) == 3


def test_a_file_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TASKS_FILE=.*none.toml: cannot be read \(No such file"):
        load_settings(env_file=None, tasks_file=tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("task", "own", "climbs", "kind", "right"),
    [
        (None, None, set(), None, None),
        ("extract", None, {REFUSED}, None, None),
        ("summarize", None, set(), None, {TRUNCATED, EMPTY}),
        ("summarize", None, {REFUSED}, None, {TRUNCATED, EMPTY, REFUSED}),
        ("summarize-long", None, set(), None, None),
        ("summarize", set(), {REFUSED}, {INVALID}, set()),
        ("summarize", None, {REFUSED}, {INVALID}, {INVALID}),
    ],
)
def test_climb_on_is_the_callers_else_the_kinds_else_the_usual(
    task: str | None, own: Any, climbs: set[Outcome], kind: Any, right: Any
) -> None:
    kinds = {} if kind is None else {"summarize": JobTerms(climb_on=frozenset(kind))}
    message = JobTerms(climb_on=None if own is None else frozenset(own))
    assert terms_for(task, message, kinds, frozenset(climbs)).climb_on == right


def test_where_something_is_expected_what_fails_it_climbs() -> None:
    expecting = JobTerms(expects={"min_chars": 3})
    assert terms_for(None, expecting, {}, frozenset({REFUSED})).climb_on == frozenset({REFUSED, INVALID})
    assert terms_for("extract", JobTerms(), {"extract": expecting}, frozenset()).climb_on == frozenset({INVALID})
    silent = JobTerms(expects={"min_chars": 3}, climb_on=frozenset())
    assert terms_for("extract", JobTerms(), {"extract": silent}, frozenset()).climb_on == frozenset()


def test_each_field_of_the_callers_own_comes_before_the_kinds() -> None:
    kinds = {"extract": JobTerms(floor="small", patience_s=3, deadline_s=60)}
    both = terms_for("extract", JobTerms(floor="middle", patience_s=0), kinds, frozenset())
    assert (both.floor, both.patience_s, both.deadline_s) == ("middle", 0, 60)


@pytest.mark.parametrize(
    ("start", "terms", "right"),
    [
        (0, JobTerms(), (0, 2, 0)),
        (0, JobTerms(ceiling="middle"), (1, 2, 1)),
        (2, JobTerms(floor="middle"), (1, 1, 0)),
        (2, JobTerms(floor="middle", ceiling="middle"), (1, 1, 1)),
    ],
)
def test_a_start_nobody_asked_for_moves_between_floor_and_ceiling(
    start: int, terms: JobTerms, right: tuple[int, int, int]
) -> None:
    span = within(RungRange(start=start, floor=2, ceiling=0), terms, Chain(models=MODELS))
    assert (span.start, span.floor, span.ceiling) == right
