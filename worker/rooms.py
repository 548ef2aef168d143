"""How many requests of the chain's models could leave soon, as the turnstile knows it; for the clock."""

from collections.abc import Sequence
from itertools import accumulate

from models.chain import Chain
from models.pace import HORIZON_S
from worker.turnstile import Turnstile


class ChainRooms:
    """The turnstile's rooms by rung, counted from 0."""

    def __init__(self, chain: Chain, turnstile: Turnstile) -> None:
        self._chain = chain
        self._turnstile = turnstile

    def free(self) -> Sequence[int]:
        """Count for each rung what could leave to its model or to one below: 0 where all are closed."""
        groups = {model: self._chain.group_of(model) for model in self._chain.models}
        rooms = self._turnstile.rooms(groups, horizon_s=HORIZON_S)
        upwards = accumulate(rooms[model].free for model in reversed(self._chain.models))
        return tuple(upwards)[::-1]

    def recovered(self) -> Sequence[int]:
        """List the rungs whose model is back since somebody of the fleet asked last."""
        models = self._chain.models
        return [models.index(model) for model in self._turnstile.recovered() if model in models]
