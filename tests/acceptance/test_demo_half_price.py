"""`stepdown demo --half-price`: live and half price side by side, one message batch that hangs, and a true receipt."""

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
    assert re.search(
        r"\n  ledger (\$[\d.]+) equals the simulator's purchase log \1, each of 30 requests\n", printed.out
    )
    with closing(sqlite3.connect(me.folder / ".stepdown" / "demo" / "ledger.db")) as connection:
        lanes = connection.execute(_BY_LANE).fetchall()
    assert lanes == [
        (0, "answered", "late", 9),
        (0, "answered", "start", 10),
        (1, "answered", "start", 11),
        (1, "not_run", "start", 9),
    ]
