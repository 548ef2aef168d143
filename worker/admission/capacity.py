"""How many requests of the chain's models could leave soon, as admission control knows; for the dispatcher."""

from collections.abc import Sequence

from models.chain.chain import Chain
from models.queue.queue_window import HORIZON_S
from worker.admission.admission import Admission


def free_requests(chain: Chain, admission: Admission) -> Sequence[int]:
    """Return for each rung the number of requests that its model takes within the horizon."""
    rooms = admission.capacity({model: chain.group_of(model) for model in chain.models}, horizon_s=HORIZON_S)
    return tuple(rooms[model].free for model in chain.models)
