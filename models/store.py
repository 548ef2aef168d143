"""All readers and writers of one database, opened together."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from models.accounting.daily_rollup import Rollup
from models.accounting.price_list import PriceList
from models.accounting.repricing import Repricing
from models.accounting.spending import Spending
from models.ledger.call_trees import CallTrees
from models.ledger.job_actions import JobActions
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.ledger.steps import Steps
from models.reports.health import Health
from models.reports.job_history import JobHistory
from models.reports.jobs import Reports
from models.reports.learned_starts import LearnedStarts
from models.reports.served_batches import ServedBatches
from models.reports.waits import WaitReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """All readers and writers of one ledger, each by its name."""

    ledger: Ledger
    leases: Leases
    outbox: Outbox
    job_actions: JobActions
    reports: Reports
    health: Health
    price_list: PriceList
    repricing: Repricing
    spending: Spending
    rollup: Rollup
    learned_starts: LearnedStarts
    job_history: JobHistory
    served_batches: ServedBatches
    steps: Steps
    call_trees: CallTrees
    waits: WaitReader

    @classmethod
    def over(cls, engine: Engine, *, worker: str) -> Self:
        """Open all parts over one engine; `worker` signs leases and attempts."""
        return cls(
            ledger=Ledger(engine, worker=worker),
            leases=Leases(engine),
            outbox=Outbox(engine),
            job_actions=JobActions(engine),
            reports=Reports(engine),
            health=Health(engine),
            price_list=PriceList(engine),
            repricing=Repricing(engine),
            spending=Spending(engine),
            rollup=Rollup(engine),
            learned_starts=LearnedStarts(engine),
            job_history=JobHistory(engine),
            served_batches=ServedBatches(engine),
            steps=Steps(engine),
            call_trees=CallTrees(engine),
            waits=WaitReader(engine),
        )
