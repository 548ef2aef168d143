"""All readers and writers of one database, opened together."""

from sqlalchemy import Engine

from models.accounting.daily_rollup import Rollup
from models.accounting.price_list import PriceList
from models.accounting.repricing import Repricing
from models.accounting.spending import Spending
from models.ledger.call_trees import CallTrees
from models.ledger.job_actions import JobActions
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.ledger.message_batches import MessageBatches
from models.ledger.outbox import Outbox
from models.ledger.steps import Steps
from models.reports.batch_history import BatchHistory
from models.reports.health import Health
from models.reports.job_history import JobHistory
from models.reports.jobs import Reports
from models.reports.learned_starts import LearnedStarts
from models.reports.served_batches import ServedBatches
from models.reports.waits import WaitReader


class Store:
    """All readers and writers of one ledger over one engine. `worker` signs leases and attempts."""

    def __init__(self, engine: Engine, *, worker: str) -> None:
        self.ledger = Ledger(engine, worker=worker)
        self.message_batches = MessageBatches(engine, self.ledger)
        self.batch_history = BatchHistory(engine)
        self.leases = Leases(engine)
        self.outbox = Outbox(engine)
        self.job_actions = JobActions(engine)
        self.reports = Reports(engine)
        self.health = Health(engine)
        self.price_list = PriceList(engine)
        self.repricing = Repricing(engine)
        self.spending = Spending(engine)
        self.rollup = Rollup(engine)
        self.learned_starts = LearnedStarts(engine)
        self.job_history = JobHistory(engine)
        self.served_batches = ServedBatches(engine)
        self.steps = Steps(engine)
        self.call_trees = CallTrees(engine)
        self.waits = WaitReader(engine)
