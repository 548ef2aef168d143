"""All that reads and writes one database, opened together."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from models.accounting.daily_rollup import Rollup
from models.accounting.price_list import PriceList
from models.accounting.repricing import Repricing
from models.accounting.spending import Questions
from models.ledger.call_trees import Trees
from models.ledger.job_actions import Orders
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.ledger.steps import Steps
from models.reports.health import Health
from models.reports.job_history import JobHistory
from models.reports.jobs import Reports
from models.reports.learned_starts import Starts
from models.reports.served_batches import Served
from models.reports.waits import WaitReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that writes and reads one ledger: each part of it by its name."""

    ledger: Ledger
    leases: Leases
    outbox: Outbox
    orders: Orders
    reports: Reports
    health: Health
    prices: PriceList
    repricing: Repricing
    questions: Questions
    rollup: Rollup
    starts: Starts
    history: JobHistory
    served: Served
    steps: Steps
    trees: Trees
    waits: WaitReader

    @classmethod
    def over(cls, engine: Engine, *, worker: str) -> Self:
        """Open them over one engine; `worker` signs leases and attempts."""
        return cls(
            ledger=Ledger(engine, worker=worker),
            leases=Leases(engine),
            outbox=Outbox(engine),
            orders=Orders(engine),
            reports=Reports(engine),
            health=Health(engine),
            prices=PriceList(engine),
            repricing=Repricing(engine),
            questions=Questions(engine),
            rollup=Rollup(engine),
            starts=Starts(engine),
            history=JobHistory(engine),
            served=Served(engine),
            steps=Steps(engine),
            trees=Trees(engine),
            waits=WaitReader(engine),
        )
