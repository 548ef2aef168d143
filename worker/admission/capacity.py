"""How many requests of the chain's models could leave soon, as admission control knows; for the dispatcher."""

from collections.abc import Sequence

from models.chain.chain import Chain
from models.queue.queue_window import HORIZON_S
from worker.admission.admission import Admission


class ChainCapacity:
    """The capacity of each rung's model, counted from 0."""

    def __init__(self, chain: Chain, admission: Admission) -> None:
        self._chain = chain
        self._admission = admission

    def free(self) -> Sequence[int]:
        """Return for each rung the number of requests that its model takes within the horizon."""
        groups = {model: self._chain.group_of(model) for model in self._chain.models}
        rooms = self._admission.capacity(groups, horizon_s=HORIZON_S)
        return tuple(rooms[model].free for model in self._chain.models)
