"""What a person decides about jobs that are there: cancel, retry, release, drop, purge; and how held jobs are shown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from models.ids import new_id
from models.job.message_batch import NewMessageBatch
from models.outcome import Outcome
from models.store import Store
from tests.support.ledgers.job_values import answered, claimed, failed, opening, parked, succeeded
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import KEY, Stranger, stranger_in

_PROMPTS = "".join(f"Summarize: harbour {number}.\n" for number in range(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A person with a batch of four jobs that no worker has seen, and the ledger under it."""

    me: Stranger
    store: Store
    batch: str
    ids: list[str]

    def job(self, number: int) -> dict[str, Any]:
        """Read one job's row."""
        return self.store.reports.job(self.ids[number])

    def hold(self, number: int) -> None:
        """Leave a job as a rescue does whose call may have been billed."""
        ending = parked(0, outcome=Outcome.UNKNOWN, error="unknown: its worker was lost")
        self.store.ledger.finish(claimed(self.store.ledger, self.ids[number]), ending, None)
        with self.store.job_actions._engine.begin() as connection:  # noqa: SLF001 - no order holds one job
            connection.execute(text("UPDATE jobs SET due_at = NULL WHERE id = :id"), {"id": self.ids[number]})


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Site]:
    """Submit four prompts without a broker."""
    me = stranger_in(tmp_path, ANTHROPIC_API_KEY=KEY)
    me.write("four.txt", _PROMPTS)
    batch = me.types("submit", "four.txt", "--name", "four").out.strip()
    with opened(f"sqlite:///{tmp_path}/.stepdown/ledger.db") as engine:
        store = Store(engine, worker="test")
        yield Site(me=me, store=store, batch=batch, ids=[answer.job_id for answer in store.reports.answers(batch)])


def test_held_jobs_are_listed_with_their_reason_of_one_batch_or_of_all(worker: Site) -> None:
    assert worker.me.types("show", "--held").out == ""
    worker.hold(1)
    for arguments in (["show", "--held"], ["show", "four", "--held"]):
        (line,) = [line for line in worker.me.types(*arguments).out.splitlines() if worker.ids[1] in line]
        assert "waiting" in line
        assert "its worker was lost" in line
    (printed,) = worker.me.types("show", "--held", "--jsonl").out.splitlines()
    assert (json.loads(printed)["job"], json.loads(printed)["outcome"]) == (worker.ids[1], "unknown")
    assert "(1 held until a person decides)" in worker.me.types("status", "four").out
    assert json.loads(worker.me.types("status", "four", "--json").out)["held"] == 1


def test_watch_ends_where_only_held_jobs_are_left_and_says_how_to_see_them(worker: Site) -> None:
    worker.hold(0)
    for job_id in worker.ids[1:]:
        answered(worker.store.ledger, job_id)
    printed = worker.me.types("watch", "four", expect=1)
    assert f"1 job is held until a person decides: stepdown show {worker.batch} --held" in printed.err


def test_a_held_job_is_released_or_dropped_by_itself_or_with_its_batch(worker: Site) -> None:
    for number in range(4):
        worker.hold(number)
    assert worker.me.types("release", "--job", worker.ids[0]).out == "1 held job goes on\n"
    assert worker.me.types("drop", "--job", worker.ids[1]).out == "1 held job dropped\n"
    assert worker.me.types("release", "four").out == "2 held jobs go on\n"
    assert worker.me.types("drop", "four").out == "0 held jobs dropped\n"
    assert [worker.job(number)["state"] for number in range(4)] == ["queued", "failed", "queued", "queued"]
    assert [worker.job(number)["rebuys"] for number in range(4)] == [1, 0, 1, 1]


def test_cancel_says_how_many_calls_will_still_be_billed(worker: Site) -> None:
    claimed(worker.store.ledger, worker.ids[0])
    message = "4 jobs cancelled; 1 call is in flight: it ends, and is billed\n"
    assert worker.me.types("cancel", "four").out == message
    assert worker.me.types("cancel", "four").out == "0 jobs cancelled\n"


def test_cancel_says_how_many_items_of_message_batches_may_be_billed(worker: Site) -> None:
    worker.me.types("submit", "four.txt", "--half-price", "--name", "lane")
    batches, made = worker.store.message_batches, new_id()
    items = [(one.claim, opening(message_batch_id=made)) for one in batches.candidates(limit=3)]
    named: dict[str, Any] = {"namespace": "key", "model": "claude-opus-4-7", "headers": {}}
    assert batches.open(NewMessageBatch(id=made, switch_in_s=60, items=items, **named)).size == 3
    printed = worker.me.types("cancel", "lane").out
    assert printed == "4 jobs cancelled; 3 items of message batches may be billed\n"
    assert worker.me.types("retry", "lane").out == "4 jobs queued again\n"
    assert len(batches.candidates(limit=9)) == 4, "they wait for a message batch again"


def test_retry_takes_failed_and_cancelled_jobs_or_the_failed_ones_only(worker: Site) -> None:
    ledger = worker.store.ledger
    ledger.finish(claimed(ledger, worker.ids[0]), failed(), None)
    answered(ledger, worker.ids[1])
    worker.store.job_actions.cancel(worker.batch)
    assert worker.me.types("retry", "four", "--failed").out == "1 job queued again\n"
    assert worker.me.types("retry", "four").out == "2 jobs queued again\n"
    assert [worker.job(number)["state"] for number in range(4)] == ["queued", "succeeded", "queued", "queued"]


def test_a_batch_that_is_submitted_again_under_its_key_may_retry_what_failed(worker: Site) -> None:
    again = ("submit", "four.txt", "--key", "four/1")
    batch = worker.me.types(*again, "--retry-failed").out.strip()
    job_ids = [answer.job_id for answer in worker.store.reports.answers(batch)]
    answered(worker.store.ledger, job_ids[0])
    for job_id in job_ids[1:3]:
        worker.store.ledger.finish(claimed(worker.store.ledger, job_id), failed(), None)
    results = [json.loads(line) for line in worker.me.types("results", batch).out.splitlines()]
    assert [row["state"] for row in results] == ["succeeded", "failed", "failed", "queued"]
    printed = worker.me.types(*again)
    assert (printed.out.strip(), printed.err) == (
        batch, "the same prompts were submitted under 'four/1' before: nothing is bought again\n"
    )  # fmt: skip
    printed = worker.me.types(*again, "--retry-failed")
    assert printed.err == "the same prompts were submitted under 'four/1' before: its 2 failed jobs are queued again\n"
    states = [worker.store.reports.job(job_id)["state"] for job_id in job_ids]
    assert states == ["succeeded", "queued", "queued", "queued"]
    printed = worker.me.types(*again, "--retry-failed")
    assert "before, none of them has failed: nothing is bought again" in printed.err
    refused = worker.me.types("submit", "four.txt", "--retry-failed", expect=2)
    assert "submit: --retry-failed: is for a batch that a --key knows; give one" in refused.err


def test_retry_gives_cut_answers_more_room_and_keeps_them_until_there_is_a_better_one(worker: Site) -> None:
    answered(worker.store.ledger, worker.ids[0], ending=succeeded(is_truncated=True))
    answered(worker.store.ledger, worker.ids[1])
    assert worker.me.types("retry", "four", "--truncated", "--max-tokens", "4000").out == "1 job queued again\n"
    job = worker.job(0)
    assert (job["state"], job["params"]["max_tokens"], job["rebuys"]) == ("queued", 4000, 1)
    first, *_ = worker.store.reports.answers(worker.batch)
    assert first.message is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "name a BATCH, or ask for --held of all"),
        (["release"], "name a BATCH, or one job with --job ID"),
        (["drop", "four", "--job", "x"], "name a BATCH, or one job with --job ID"),
        (["release", "--job", "nobody"], "no job is called or begins with 'nobody'"),
        (["retry", "four", "--failed", "--truncated"], "--failed, --truncated: choose one"),
        (["retry", "four", "--max-tokens", "9"], "--max-tokens: is for --truncated"),
        (["purge", "--older-than", "soon"], "--older-than: 'soon' should be such as 30d, 12h, 90m or 45s"),
        (["submit", "four.txt", "--on-unknown", "maybe"], "--on-unknown: 'maybe' should be hold or rebuy"),
    ],
)
def test_a_wrong_order_changes_nothing_and_says_what_would_be_right(
    worker: Site, arguments: list[str], message: str
) -> None:
    printed = worker.me.types(*arguments, expect=2)
    assert (message in printed.err, printed.out) == (True, "")
    assert {worker.job(number)["state"] for number in range(4)} == {"queued"}


def test_purge_removes_texts_and_no_cost(worker: Site) -> None:
    answered(worker.store.ledger, worker.ids[0])
    assert worker.me.types("purge", "--older-than", "1h").out.startswith("0 jobs purged")
    assert worker.me.types("purge", "--older-than", "0s").out.startswith("1 job purged")
    assert worker.job(0)["params"] == {}
    assert worker.store.reports.progress(worker.batch).attempts == 1
    words = (worker.me.folder / ".stepdown" / "ledger.db").read_bytes()
    assert b"harbour 1." in words


def test_a_batch_chooses_what_becomes_of_a_lost_call(worker: Site) -> None:
    batch = worker.me.types("submit", "four.txt", "--on-unknown", "hold").out.strip()
    chosen = [worker.store.reports.job(answer.job_id)["on_unknown"] for answer in worker.store.reports.answers(batch)]
    assert chosen == ["hold"] * 4
    assert worker.job(0)["on_unknown"] is None
