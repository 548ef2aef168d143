"""`stepdown demo`: on a machine with nothing, past whatever its environment says, to a receipt that adds up."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.sites.command_line import Ended, Stranger, stranger_in

NANO = 10**9
POISON = {
    "ANTHROPIC_API_KEY": "sk-ant-a-real-key-that-costs",
    "ANTHROPIC_API_KEY_FILE": "/nowhere/key",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
    "REDIS_URL": "redis://u:poison@127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://u:poison@127.0.0.1:1/d",
    "MODEL_CHAIN": "my-own-model",
    "MODEL_COSTS": "claude-opus-4-7:0:0",
    "TASK_STARTS": "synthesize:my-own-model",
    "CLIMB_ON": "truncated",
    "CALL_TIMEOUT_S": "never",
    "STATE_DIR": "/nowhere",
}


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Work in an empty folder on a machine whose environment and .env both mean well, and are wrong."""
    me = stranger_in(tmp_path_factory.mktemp("demo"), **POISON)
    me.configure(**POISON | {"JOB_DEADLINE_S": "0.1", "WORKER_CONCURRENCY": "0"})
    return me


@pytest.fixture(scope="module")
def printed(me: Stranger) -> Ended:
    """Run the demo once for all tests."""
    return me.types("demo", expect=None)


@pytest.fixture
def ledger(me: Stranger, printed: Ended) -> Iterator[sqlite3.Connection]:
    """Ask its ledger, as the demo's last lines say."""
    assert printed.code == 0, printed
    with closing(sqlite3.connect(me.folder / ".stepdown" / "demo" / "ledger.db")) as connection:
        yield connection


def purchases(me: Stranger) -> list[dict[str, Any]]:
    log = me.folder / ".stepdown" / "demo" / "purchases.jsonl"
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_it_ends_well_and_says_so_without_a_word_on_stderr(printed: Ended) -> None:
    assert (printed.code, printed.err) == (0, "")
    assert printed.out.startswith("stepdown demo: 200 summaries and 12 documents mapped and synthesized")
    assert re.findall(r"\n  ([1-9])\. [A-Z]", printed.out) == ["1", "2", "3", "4"]  # a plain line for each stage


def test_each_part_is_told_with_its_address_and_its_start(printed: Ended) -> None:
    for pattern in (
        r"\n  broker   valkey \(embedded\)  redis://127\.0\.0\.1:\d+/0 +\d+\.\d s\n",
        r"\n  api      simulator http://127\.0\.0\.1:\d+  seed 7; .* +\d+\.\d s\n",
        r"\n  flower   http://127\.0\.0\.1:\d+  user stepdown, password demo\n",
        r"\n  worker   1 process, \d+ calls in flight +\d+\.\d s\n",
    ):
        assert re.search(pattern, printed.out), pattern


def test_without_a_terminal_there_are_lines_and_no_colours(printed: Ended) -> None:
    assert "\x1b" not in printed.out
    assert "\r" not in printed.out
    assert all(len(line) < 220 for line in printed.out.splitlines())


def test_the_receipt_shows_failures_fallbacks_and_that_it_equals_the_purchase_log(printed: Ended) -> None:
    total = re.search(r"\ntotal +(\d+) +(\d+) +(\d+) +\$([0-9.]+)\n", printed.out)
    assert total is not None
    attempts, answered, failed = (int(number) for number in total.groups()[:3])
    assert attempts == answered + failed
    assert failed >= 3
    deeper = re.findall(r"\n +[12] +(\d+) +\d+\.\d%", printed.out)
    assert sum(map(int, deeper)) >= 40  # the primary is out for 50 jobs; how deep they go is a matter of moments
    assert (
        f"ledger ${total[4]} equals the simulator's purchase log ${total[4]}, each of {attempts} requests"
        in printed.out
    )


def test_the_ledger_adds_up_to_the_purchase_log_to_the_nano_dollar(
    me: Stranger, ledger: sqlite3.Connection, printed: Ended
) -> None:
    bought = purchases(me)
    spent, attempts = ledger.execute("SELECT sum(cost_nano_usd), count(*) FROM attempts").fetchone()
    assert spent == sum(purchase["billed_nano_usd"] for purchase in bought) > 0
    assert attempts == len(bought)
    stated = re.search(r"ledger \$([0-9.]+) equals", printed.out)
    assert stated is not None
    assert Decimal(stated[1]) * NANO == spent
    ours = dict(ledger.execute("SELECT id, cost_nano_usd FROM attempts").fetchall())
    assert {purchase["attempt"]: purchase["billed_nano_usd"] for purchase in bought} == ours


def test_every_job_ended_and_the_outage_is_in_the_rows(ledger: sqlite3.Connection) -> None:
    states = dict(ledger.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
    assert states.keys() <= {"succeeded", "failed"}
    assert (sum(states.values()), states["succeeded"] >= 211) == (213, True)
    overloaded = "SELECT count(*) FROM attempts WHERE outcome = 'overloaded' AND requested_model LIKE '%opus%'"
    assert (
        3 <= ledger.execute(overloaded).fetchone()[0] < 40
    )  # it took itself out of rotation, with probes now and then
    answered_below = "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND fallback_depth > 0"
    assert ledger.execute(answered_below).fetchone()[0] >= 40


def test_the_documents_were_mapped_on_the_cheapest_and_synthesized_on_the_primary(ledger: sqlite3.Connection) -> None:
    rows = ledger.execute(
        "SELECT task, start_model, SUM(model_used = start_model), COUNT(*) FROM jobs "
        "WHERE task IS NOT NULL GROUP BY 1, 2"
    )
    found = {(task, start): (there, of) for task, start, there, of in rows.fetchall()}
    assert found.keys() == {("summarize", "claude-haiku-4-5-20251001"), ("synthesize", "claude-opus-4-7")}
    # On a busy machine a call may take too long for its model, and its job goes on with another.
    assert all(there > of / 2 for there, of in found.values()), found


def test_nothing_of_the_users_own_was_touched_or_shown(me: Stranger, printed: Ended) -> None:
    assert "poison" not in printed.out
    assert POISON["ANTHROPIC_API_KEY"] not in printed.out
    assert sorted(path.name for path in me.folder.iterdir()) == [".env", ".stepdown", "producer", "tests"]
    assert [path.name for path in (me.folder / ".stepdown").iterdir()] == ["demo"]


def test_no_process_is_left(me: Stranger, printed: Ended) -> None:
    assert printed.code == 0
    folder = str(me.folder)
    left = [process.cmdline() for process in psutil.process_iter() if folder in where_is(process)]
    assert left == []


def where_is(process: psutil.Process) -> str:
    try:
        return f"{process.cwd()} {' '.join(process.cmdline())}"
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return ""


def test_the_question_it_suggests_can_be_asked(me: Stranger, printed: Ended, tmp_path: Path) -> None:
    question = re.search(r"Ask the ledger: +(DATABASE_URL=\S+ stepdown ledger sql .*)", printed.out)
    assert question is not None
    demo = (me.folder / ".stepdown").absolute()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".stepdown").symlink_to(demo)
    answer = stranger_in(elsewhere).types_in_a_shell(question[1]).out.splitlines()
    assert answer[0].split()[:3] == ["day", "start_model", "jobs"]
    assert [line for line in answer if "claude-opus-4-7" in line and re.search(r" (ok|degraded) ", line)]
