"""All that reads and writes one database, opened together."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from models.leases import Leases
from models.ledger import Ledger
from models.orders import Orders
from models.outbox import Outbox
from models.questions import Questions
from models.reports import Reports
from models.rollup import Rollup


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What workers write, who has which job, what is to be sent, what people order, read and ask, and the rollup."""

    ledger: Ledger
    leases: Leases
    outbox: Outbox
    orders: Orders
    reports: Reports
    questions: Questions
    rollup: Rollup

    @classmethod
    def over(cls, engine: Engine, *, worker: str) -> Self:
        """Open them over one engine; `worker` signs leases and attempts."""
        return cls(
            ledger=Ledger(engine, worker=worker),
            leases=Leases(engine),
            outbox=Outbox(engine),
            orders=Orders(engine),
            reports=Reports(engine),
            questions=Questions(engine),
            rollup=Rollup(engine),
        )
