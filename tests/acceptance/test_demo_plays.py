"""`stepdown demo --half-price` and `--endpoints`: what hangs or is down holds no job back, and the receipt is true."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.sites.command_line import stranger_in

_BY_LANE = """
    SELECT message_batch_id IS NOT NULL, outcome, reason, count(*) FROM attempts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def test_the_ledger_equals_the_bill_and_what_hangs_is_moved(tmp_path: Path) -> None:
    me = stranger_in(tmp_path)
    printed = me.types("demo", "--half-price", "--jobs", "30", expect=None)
    assert (printed.code, printed.err) == (0, ""), printed
    assert re.findall(r"\n  ([1-9])\. [A-Z]", printed.out) == ["1", "2", "3", "4"]
    equal = re.search(
        r"\n  ledger (\$[\d.]+) equals the simulator's purchase log \1, each of (\d+) requests\n", printed.out
    )
    assert equal is not None
    assert int(equal[2]) >= 30  # on a busy machine an answer may be bought in both lanes, and is recorded
    with closing(sqlite3.connect(me.folder / ".stepdown" / "demo" / "ledger.db")) as connection:
        lanes = connection.execute(_BY_LANE).fetchall()
    counts = {(bool(lane), outcome, reason): count for lane, outcome, reason, count in lanes}
    assert counts[False, "answered", "start"] == 10
    assert counts[False, "answered", "late"] > 0
    assert counts[True, "answered", "start"] > 10  # a message batch of ten that ends, and a part of one that hangs


def test_with_a_second_endpoint_a_provider_that_goes_down_holds_no_job_back(tmp_path: Path) -> None:
    ended = stranger_in(tmp_path).types("demo", "--endpoints", "--jobs", "60", expect=None)
    assert (ended.code, ended.err) == (0, ""), ended
    assert "equals both purchase logs $" in ended.out
    answers = {name: int(count) for name, count in re.findall(r"\n  (\w+): \d+ calls, (\d+) answers, ", ended.out)}
    assert answers == {"anthropic": 20, "cloud": 40}
    assert re.findall(r"  (\d+/\d+)  0 failed", ended.out)[-1] == "20/20"
