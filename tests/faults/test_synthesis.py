"""Forty chapters mapped and synthesized while the worker is killed: every part is bought once, and none is left out."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from producer.client import Batch
from producer.map_reduce.documents import read_documents
from tests.faults.invariants import examine
from tests.faults.site import Site, open_site
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES, ROOT

_CHAPTERS = ROOT / "tests" / "examples" / "chapters.jsonl"
_BY_LEVEL = "SELECT level, SUM(jobs) AS n FROM v_documents GROUP BY level ORDER BY level"


@pytest.mark.parametrize("engine_name", ENGINES)
def test_forty_chapters_are_each_bought_once_though_the_worker_is_killed(engine_name: str, tmp_path: Path) -> None:
    with open_site(engine_name, tmp_path, WORKER_CONCURRENCY="1") as site:
        chapters = read_documents(str(_CHAPTERS))
        doomed = site.hire_at_once(STEPDOWN_FAILPOINT="after_spool:40").ready()
        batch = site.producer.summarize(chapters, part_tokens=1500, step_tokens=14000, max_tokens=400, key="austen")
        assert doomed.ended(within_s=60) == -signal.SIGKILL, doomed.message()
        assert 30 < batch.progress().finished < batch.progress().job_count
        site.hire(WORKER_CONCURRENCY="8")
        site.finished(batch)
        found = examine(site)
        assert (found.wrong, found.held, found.succeeded) == ((), 0, found.jobs)
        assert found.purchases == found.attempts == found.jobs == batch.progress().job_count
        assert set(Counter(purchase["job"] for purchase in site.simulator.purchases()).values()) == {1}
        assert _read_by_the_synthesis(site, batch) == {chapter.id for chapter in chapters}
        assert [row["n"] for row in site.rows(_BY_LEVEL)] == [101, 37, 5, 1]
        again = site.producer.summarize(chapters, part_tokens=1500, step_tokens=14000, max_tokens=400, key="austen")
        assert (again.id, again.is_new, len(site.simulator.purchases())) == (batch.id, False, found.jobs)


def test_calls_that_were_in_flight_when_the_worker_was_killed_are_bought_again_only_by_order(tmp_path: Path) -> None:
    slow = "[[rules]]\nfrom_job = 9\nto_job = 24\nanswer = 'slow'\ndelay_s = 20"
    with open_site("sqlite", tmp_path, script=slow, HOLD_ABOVE_USD="0") as site:
        doomed = site.hire()
        batch = site.producer.summarize(read_documents(str(_CHAPTERS)))
        eventually(lambda: site.in_flight() == 8, within_s=30, because="all threads are calling")
        doomed.kill()
        site.simulator.set_script("")
        site.hire()
        eventually(lambda: batch.progress().is_settled, within_s=60, because="the rest waits for the held ones")
        progress = batch.progress()
        assert (progress.held, progress.blocked, progress.finished) == (8, 1, 32)
        assert site.producer.store.job_actions.release(batch_id=batch.id, deadline_s=3600) == 8
        site.finished(batch)
        found = examine(site)
        assert (found.wrong, found.succeeded, found.rebuys, found.purchases) == ((), 41, 8, 49)
        assert _read_by_the_synthesis(site, batch) == {f"chapter-{number:02}" for number in _numbers()}


def _numbers() -> list[int]:
    lines = _CHAPTERS.read_text(encoding="utf-8").splitlines()
    return [int(json.loads(line)["id"].removeprefix("chapter-")) for line in lines]


def _read_by_the_synthesis(site: Site, batch: Batch) -> set[str | None]:
    """List the documents below the synthesis, every answer on the way being in the words of the step that reads it."""
    asked = {row["id"]: row["params"] for row in site.rows("SELECT id, params FROM jobs")}
    answers = {answer.job_id: answer for answer in batch.answers()}
    read = [(row["job_id"], row["part_id"]) for row in site.rows("SELECT job_id, part_id FROM parts")]
    for step, part in read:
        assert json.dumps(answers[part].text).strip('"') in asked[step]
    (top,) = {step for step, _ in read} - {part for _, part in read}
    assert answers[top].id == "synthesis"
    below, found = [top], set[str]()
    while below:
        step = below.pop()
        found |= {part for of, part in read if of == step}
        below += [part for of, part in read if of == step]
    assert found | {top} == set(answers)
    return {answers[part].columns.get("document") for part in found if answers[part].columns["level"] == "0"}
