"""Submitting on both ledgers, with a real broker: what is kept, what is sent, what is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, func, select

from models.errors import InputError, InputMistakes, KeyConflictError, NotFoundError, UnpricedModelError
from models.queue.redis_keys import queue_key
from models.schema.attempt import Attempt
from models.schema.batch import Batch as BatchRow
from models.schema.job import Job
from models.settings import load_settings
from producer import Batch, Producer, Prompt
from producer.files.prompts import opened_prompts
from tests.support.eventually import eventually
from tests.support.threads_at_once import at_once

HAIKU = "claude-haiku-4-5-20251001"
SUMMARIZE = Prompt("Summarize: bridges were closed.", id="a", max_tokens=300)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> dict[str, Any]:
    """Name the real ledger and the real broker."""
    return {
        "env_file": None,
        "database_url": database_url,
        "redis_url": redis_url,
        "task_starts": f"summarize:{HAIKU}",
    }


@pytest.fixture
def producer(settings: dict[str, Any]) -> Iterator[Producer]:
    """Submit to them."""
    with Producer(load_settings(**settings)) as producer:
        yield producer


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Look into the broker."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def count(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def rows(engine: Engine, batch: Batch) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = select(Job.__table__).where(Job.batch_id == batch.id).order_by(Job.seq)
        return [dict(row) for row in connection.execute(found).mappings()]


def nothing_was_written(engine: Engine) -> bool:
    return (count(engine, BatchRow), count(engine, Job), count(engine, Attempt)) == (0, 0, 0)


def test_what_is_submitted_is_kept_as_it_was_given(producer: Producer, engine: Engine) -> None:
    prompts = [
        Prompt("Why?", id="é😀", system="Be brief.", max_tokens=7, columns={"title": "\u2028 'quoted'"}),
        Prompt(params={"model": HAIKU, "max_tokens": 5, "messages": [{"role": "user", "content": "How?"}]}),
        Prompt("Who?", floor="claude-sonnet-4-6", task="summarize", start="claude-sonnet-4-6"),
    ]
    batch = producer.submit(prompts, task="ask", name="news", tags={"team": "media"})
    first, second, third = rows(engine, batch)
    assert (first["prompt_id"], second["prompt_id"], third["prompt_id"]) == ("é😀", "2", "3")
    assert (first["task"], second["task"], third["task"]) == ("ask", "ask", "summarize")
    assert [(row["start_rung"], row["floor_rung"], row["ceiling_rung"]) for row in (first, second, third)] == [
        (0, 2, 0),
        (2, 2, 0),
        (1, 1, 0),
    ]
    assert first["params"] == prompts[0].request()
    assert first["columns"] == {"title": "\u2028 'quoted'"}
    assert second["params"] == {"max_tokens": 5, "messages": [{"role": "user", "content": "How?"}]}
    with engine.connect() as connection:
        row = connection.execute(select(BatchRow.__table__)).mappings().one()
    assert (row["name"], row["task"], row["tags"], row["job_count"]) == ("news", "ask", {"team": "media"}, 3)


def test_each_job_is_sent_to_the_queue_of_its_own_rung(producer: Producer, engine: Engine, client: redis.Redis) -> None:
    batch = producer.submit([Prompt("a"), Prompt("b", task="summarize"), Prompt("c", task="summarize")])
    assert (batch.is_new, batch.not_sent) == (True, None)
    assert [client.llen(queue_key(rung)) for rung in range(3)] == [1, 0, 2]
    assert all(row["sent_at"] is not None for row in rows(engine, batch))


@pytest.mark.parametrize("length", [10, 5_000_000])
def test_a_prompt_of_a_server_is_kept_and_sent_once_however_long(
    producer: Producer, engine: Engine, client: redis.Redis, length: int
) -> None:
    params = {"max_tokens": 9, "messages": [{"role": "user", "content": "a" * length}]}

    async def enqueue() -> Batch:
        return await producer.enqueue(producer.prepared(Prompt(params=params), key="mail/7", tags={"team": "maps"}))

    first, again = asyncio.run(enqueue()), asyncio.run(enqueue())
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
    with engine.connect() as connection:
        rows = connection.execute(select(Job.batch_id, Job.is_urgent, Job.params)).all()
        assert rows == [(first.id, True, params)]
    eventually(lambda: client.llen(queue_key(None)) == 1, within_s=20, because="the job is sent")
    eventually(lambda: not _unsent(engine), within_s=20, because="the job is marked as sent")
    assert client.llen(queue_key(None)) == 1


def test_a_caller_of_a_server_has_the_batch_though_no_message_can_leave(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: object) -> None:
        raise RuntimeError("can't start new thread")

    async def enqueue() -> Batch:
        ready = producer.prepared(Prompt("Summarize."))
        monkeypatch.setattr(producer._urgent, "put", refuse)  # noqa: SLF001 - as in a container at its limit of threads
        async with asyncio.timeout(20):
            return await producer.enqueue(ready)

    assert asyncio.run(enqueue()).is_new


def _unsent(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).where(Job.sent_at.is_(None))) or 0


def test_no_prompt_is_in_the_broker(producer: Producer, client: redis.Redis) -> None:
    producer.submit([Prompt("the customer's own words", id="canary")], name="canary", key="canary")
    held = str(client.lrange(queue_key(0), 0, -1))
    assert "stepdown.run" in held
    assert "words" not in held
    assert "canary" not in held


def test_the_same_prompts_under_the_same_key_are_the_same_batch(
    producer: Producer, engine: Engine, client: redis.Redis
) -> None:
    first = producer.submit([SUMMARIZE], key="news/1")
    again = producer.submit([SUMMARIZE], key="news/1", name="another name")
    assert (again.id, again.is_new) == (first.id, False)
    assert (count(engine, BatchRow), count(engine, Job), client.llen(queue_key(0))) == (1, 1, 1)


@pytest.mark.parametrize(
    "other",
    [
        [Prompt("Summarize: other.", id="a", max_tokens=300)],
        [Prompt(SUMMARIZE.text, id="b", max_tokens=300)],
        [Prompt(SUMMARIZE.text, id="a", max_tokens=301)],
        [Prompt(SUMMARIZE.text, id="a", max_tokens=300, columns={"n": "1"})],
        [Prompt(SUMMARIZE.text, id="a", max_tokens=300, start=HAIKU)],
        [SUMMARIZE, Prompt("One more.")],
    ],
)
def test_other_content_under_a_known_key_is_refused(producer: Producer, engine: Engine, other: list[Prompt]) -> None:
    first = producer.submit([SUMMARIZE], key="news/1")
    with pytest.raises(KeyConflictError, match=f"^key 'news/1' was used for batch {first.id} with other"):
        producer.submit(other, key="news/1")
    assert (count(engine, BatchRow), count(engine, Job)) == (1, 1)


def test_without_a_key_the_same_prompts_are_another_batch(producer: Producer, engine: Engine) -> None:
    assert producer.submit([SUMMARIZE]).id != producer.submit([SUMMARIZE]).id
    assert count(engine, Job) == 2


def test_of_many_who_submit_one_key_at_once_one_buys(settings: dict[str, Any], engine: Engine) -> None:
    def submit(_number: int) -> Batch:
        with Producer(load_settings(**settings)) as own:
            return own.submit([SUMMARIZE], key="news/1")

    batches = at_once(6, submit)
    assert len({batch.id for batch in batches}) == 1
    assert sum(batch.is_new for batch in batches) == 1
    assert count(engine, Job) == 1


def test_a_model_without_a_price_is_refused_and_nothing_written(settings: dict[str, Any], engine: Engine) -> None:
    with Producer(load_settings(**settings, model_chain=f"my-own-model,{HAIKU}")) as producer:
        with pytest.raises(UnpricedModelError, match=r"^no price for my-own-model: add it to MODEL_COSTS"):
            producer.submit([SUMMARIZE])
        assert nothing_was_written(engine)
        assert producer.submit([SUMMARIZE], allow_unpriced=True).is_new
    with Producer(
        load_settings(**settings, model_chain=f"my-own-model,{HAIKU}", model_costs="my-own-model:1:2")
    ) as producer:
        assert producer.submit([SUMMARIZE]).is_new


def test_a_bad_prompt_anywhere_keeps_all_of_them_out(producer: Producer, engine: Engine) -> None:
    with pytest.raises(InputError, match=r"^prompt 3: max_tokens: 0 should be a whole number, 1 or more$"):
        producer.submit([SUMMARIZE, Prompt("b"), Prompt("c", max_tokens=0)])
    with pytest.raises(InputError, match=r"^prompt 2: id: 'a' was prompt 1's; ids are unique in a batch$"):
        producer.submit([SUMMARIZE, SUMMARIZE])
    with pytest.raises(InputError, match=r"^prompt 2: id: '2' was prompt 1's"):
        producer.submit([Prompt("a", id="2"), Prompt("b")])
    with pytest.raises(InputError, match=r"^prompt 2: floor: 'gone' is not in MODEL_CHAIN"):
        producer.submit([SUMMARIZE, Prompt("b", floor="gone")])
    texts: Any = [SUMMARIZE, "b"]
    with pytest.raises(InputError, match=r"^prompt 2: 'b' should be a Prompt, as in Prompt\('Summarize: ...'\)$"):
        producer.submit(texts)
    with pytest.raises(InputError, match=r"^submit: no prompts: give at least one$"):
        producer.submit([])
    assert nothing_was_written(engine)


def test_a_file_with_mistakes_is_refused_as_a_whole(producer: Producer, engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a"}\n' + '{"prompt": 7}\n' * 23, encoding="utf-8")
    with opened_prompts(str(path)) as file, pytest.raises(InputMistakes) as refused:
        producer.submit(file)
    printed = str(refused.value).splitlines()
    assert (printed[0][: len(str(path)) + 10], printed[-2:]) == (
        f"{path}:2: prompt",
        ["and 3 more", "nothing was queued"],
    )
    assert nothing_was_written(engine)
    path.write_text('{"prompt": "a"}\n', encoding="utf-8")
    with opened_prompts(str(path)) as file:
        assert producer.submit(file).is_new


def test_waiting_too_long_is_a_timeout_and_the_batch_goes_on(producer: Producer) -> None:
    batch = producer.submit([SUMMARIZE, Prompt("b")])
    with pytest.raises(TimeoutError, match=f"^batch {batch.id}: 0 of 2 jobs ended in 0.1 s$"):
        batch.wait(timeout_s=0.1)
    assert batch.progress().states == {"queued": 2}


def test_what_is_cancelled_has_ended_and_costs_nothing(producer: Producer) -> None:
    batch = producer.submit([SUMMARIZE, Prompt("b")], name="news")
    assert producer.batch("news").cancel() == 2
    assert batch.cancel() == 0
    assert [(answer.state, answer.text, answer.error) for answer in batch.wait(timeout_s=5)] == [
        ("cancelled", None, None)
    ] * 2
    assert batch.progress().cost_usd == 0


def test_a_batch_is_found_by_its_id_a_beginning_of_it_or_its_name(producer: Producer) -> None:
    batch = producer.submit([SUMMARIZE], name="news")
    assert {producer.batch(text).id for text in (batch.id, batch.id[:-3], "news")} == {batch.id}
    producer.submit([SUMMARIZE], name="news")
    with pytest.raises(NotFoundError, match=r"^more than one batch is called or begins with 'news'"):
        producer.batch("news")
    for stranger in ("nothing", "%", "_", "\0", "\udc80"):
        with pytest.raises(NotFoundError):
            producer.batch(stranger)


def test_an_empty_word_finds_not_even_the_only_batch(producer: Producer) -> None:
    producer.submit([SUMMARIZE])
    with pytest.raises(NotFoundError, match=r"^'' is no batch's name or id"):
        producer.batch("")


def test_who_asks_and_is_not_answered_in_time_has_bought_nothing(producer: Producer, engine: Engine) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 jobs ended in 1 s"):
        producer.ask("Is anybody there?", timeout_s=1)
    (batch,) = producer.store.reports.batches(limit=10)
    assert batch.states == {"cancelled": 1}
    assert count(engine, Attempt) == 0
