"""Names, keys, tasks, tags and ids: what one engine would refuse or cut is refused on both, before anything is kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from models.errors import InputError
from models.schema.batch import Batch as BatchRow
from models.schema.job import Job
from models.settings import load_settings
from producer import Producer, Prompt

LONG, LONGEST = "x" * 201, "é" * 200
WRONG = [
    (LONG, "has 201 characters; {} has at most 200"),
    ("a\0b", "holds a NUL character at character 2; remove it"),
    ("ab\ud83d", r"holds half a surrogate pair (\ud83d) at character 3; remove it"),
    ("", "'' should be text, or be left out"),
    (" \n", "' \\n' should be text, or be left out"),
    (5, "5 should be text, or be left out"),
]


@pytest.fixture
def producer(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Producer]:
    """Submit without a broker: the ledger is what this is about."""
    folder = tmp_path_factory.mktemp("state")
    with Producer(load_settings(env_file=None, database_url=database_url, state_dir=folder)) as producer:
        yield producer


def is_empty(engine: Engine) -> bool:
    with engine.connect() as connection:
        return all(connection.scalar(select(func.count()).select_from(table)) == 0 for table in (BatchRow, Job))


@pytest.mark.parametrize(("field", "kind"), [("name", "a name"), ("key", "a key"), ("task", "a task")])
@pytest.mark.parametrize(("value", "problem"), WRONG)
def test_a_label_that_cannot_be_kept_is_refused(
    producer: Producer, engine: Engine, field: str, kind: str, value: Any, problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        producer.submit([Prompt("Why?")], **{field: value})
    assert str(refused.value) == f"submit: {field}: {problem.format(kind)}"
    assert is_empty(engine)


@pytest.mark.parametrize("start", ["serve/", "mcp/", "deleted/"])
def test_a_key_that_this_program_gives_to_others_is_refused(producer: Producer, engine: Engine, start: str) -> None:
    key = f"{start}bob/1"
    with pytest.raises(InputError, match=rf"^submit: key: '{key}' begins with {start}, which is kept for "):
        producer.submit([Prompt("Why?")], key=key)
    assert is_empty(engine)


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({LONG: "a"}, f"'{'x' * 12}...{'x' * 13}': has 201 characters; a tag has at most 200"),
        ({"team": LONG}, "'team': has 201 characters; a tag has at most 200"),
        ({"team": "a\0"}, "'team': holds a NUL character at character 2; remove it"),
        ({"a\0": "b"}, r"'a\x00': holds a NUL character at character 2; remove it"),
        ({"team": "\udc80"}, r"'team': holds half a surrogate pair (\udc80) at character 1; remove it"),
        ({"": "b"}, "'': '' should be text, or be left out"),
        ({"team": 5}, "'team': 5 should be text, or be left out"),
    ],
)
def test_a_tag_that_cannot_be_kept_is_refused(
    producer: Producer, engine: Engine, tags: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        producer.submit([Prompt("Why?")], tags=tags)
    assert str(refused.value) == f"submit: tags: {problem}"
    assert is_empty(engine)


@pytest.mark.parametrize(("field", "kind"), [("id", "an id"), ("task", "a task")])
@pytest.mark.parametrize(("value", "problem"), WRONG)
def test_an_id_or_a_task_of_a_prompt_is_held_to_the_same(
    producer: Producer, engine: Engine, field: str, kind: str, value: Any, problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        producer.submit([Prompt("How?"), Prompt("Why?", **{field: value})])
    assert str(refused.value) == f"prompt 2: {field}: {problem.format(kind)}"
    assert is_empty(engine)


def test_the_longest_labels_come_back_whole(producer: Producer, engine: Engine) -> None:
    tags = {LONGEST: LONGEST, "empty": ""}
    batch = producer.submit([Prompt("Why?", id=LONGEST)], name=LONGEST, key=LONGEST, task=LONGEST, tags=tags)
    with engine.connect() as connection:
        kept = connection.execute(select(BatchRow.__table__)).mappings().one()
        job = connection.execute(select(Job.__table__)).mappings().one()
    assert (kept["name"], kept["idempotency_key"], kept["task"], kept["tags"]) == (LONGEST, LONGEST, LONGEST, tags)
    assert (job["prompt_id"], job["task"]) == (LONGEST, LONGEST)
    assert producer.batch(LONGEST).id == batch.id
    assert producer.submit([Prompt("Why?", id=LONGEST)], key=LONGEST, task=LONGEST).id == batch.id
