"""How many requests of the chain's models could leave soon, as admission control knows; for the dispatcher."""

from collections.abc import Callable, Mapping, Sequence

from models.chain.chain import Chain
from models.queue.queue_window import HORIZON_S
from worker.admission.admission import Capacity


def free_requests(chain: Chain, capacity: Callable[..., Mapping[str, Capacity]]) -> Sequence[int]:
    """Return for each rung the number of requests that its model takes within the horizon."""
    rooms = capacity({model: chain.group_of(model) for model in chain.models}, horizon_s=HORIZON_S)
    return tuple(rooms[model].free for model in chain.models)
