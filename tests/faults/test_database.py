"""The ledger away, frozen, locked, or without room: what was paid for is kept, and it heals by itself."""

import sqlite3
from pathlib import Path
from threading import Timer

from sqlalchemy.engine import make_url

from tests.faults.ends import ends_well
from tests.faults.site import open_site
from tests.support.eventually import eventually

_SLOW = "[[rules]]\nanswer = 'slow'\ndelay_s = 1.5"


def test_replies_that_come_while_postgres_is_down_are_kept_and_nothing_is_claimed(tmp_path: Path) -> None:
    with open_site("postgres", tmp_path, script=_SLOW) as site:
        worker = site.hire()
        batch = site.submit(20)
        eventually(lambda: site.in_flight() == 8, within_s=30, because="all threads are calling")
        site.database.stop()
        eventually(lambda: site.in_flight() == 0, within_s=30, because="the calls end")
        eventually(lambda: worker.message().count("is kept here until") == 8, within_s=20, because="replies are kept")
        assert len(site.simulator.purchases()) == 8, "nothing is called that cannot be written down"
        site.database.start()
        ends_well(site, batch.id, 20)
        assert "replies kept on disk are in the ledger now" in worker.message()


def test_a_worker_killed_while_postgres_is_down_leaves_its_replies_to_the_next(tmp_path: Path) -> None:
    with open_site("postgres", tmp_path, script=_SLOW, HOLD_ABOVE_USD="0") as site:
        worker = site.hire()
        batch = site.submit(12)
        eventually(lambda: site.in_flight() == 8, within_s=30, because="all threads are calling")
        site.database.stop()
        eventually(lambda: worker.message().count("is kept here until") == 8, within_s=30, because="replies are kept")
        worker.kill()
        site.database.start()
        site.hire()
        ends_well(site, batch.id, 12)


def test_a_frozen_postgres_is_waited_for(tmp_path: Path) -> None:
    with open_site("postgres", tmp_path, script=_SLOW) as site:
        worker = site.hire()
        batch = site.submit(20)
        eventually(lambda: site.in_flight() == 8, within_s=30, because="all threads are calling")
        site.database.freeze()
        eventually(lambda: site.in_flight() == 0, within_s=30, because="the calls end")
        thawing = Timer(2 * float(site.variables["LEASE_S"]), site.database.thaw)
        thawing.start()
        thawing.join()
        ends_well(site, batch.id, 20)
        assert "its worker was lost" not in worker.message(), "a lease that nobody could renew is not over"


def test_another_writer_of_the_sqlite_file_is_waited_for(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path) as site:
        site.hire()
        batch = site.submit(40)
        path = make_url(site.variables["DATABASE_URL"]).database
        with sqlite3.connect(str(path), isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not batch.progress().is_finished
            waiting = Timer(3, lambda: None)
            waiting.start()
            waiting.join()
            other.execute("ROLLBACK")
        other.close()
        ends_well(site, batch.id, 40)


def test_without_room_for_replies_nothing_is_claimed(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path) as site:
        full = site.hire(MIN_FREE_MB="1000000000")
        batch = site.submit(5)
        eventually(
            lambda: "no job is claimed until then" in full.message(), within_s=20, because="it says why it waits"
        )
        assert (site.simulator.purchases(), full.is_alive()) == ([], True)
        full.ask_to_end()
        full.ended()
        site.hire()
        ends_well(site, batch.id, 5)
