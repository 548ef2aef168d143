"""All that reads and writes one database, opened together."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from models.health import Health
from models.leases import Leases
from models.ledger import Ledger
from models.orders import Orders
from models.outbox import Outbox
from models.pricelist import PriceList
from models.questions import Questions
from models.recorded import Records
from models.reports import Reports
from models.repricing import Repricing
from models.rollup import Rollup
from models.served import Served
from models.starts import Starts
from models.steps import Steps
from models.trees import Trees
from models.waits import WaitReader


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
    records: Records
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
            records=Records(engine),
            served=Served(engine),
            steps=Steps(engine),
            trees=Trees(engine),
            waits=WaitReader(engine),
        )
