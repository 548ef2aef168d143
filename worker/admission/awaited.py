"""Admission control for coroutines: one thread asks for all. A slow Redis stops no other job of the loop."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.database.group_thread import GroupThread, LoopReply, Reply
from worker.admission.admission import BlockingAdmission, Capacity, Change, Denied, Granted, Request, Result

_Asked = Request | Result


class AwaitedAdmission:
    """The admission control of a loop's coroutines."""

    def __init__(self, admission: BlockingAdmission) -> None:
        self._admission = admission
        self._group = GroupThread[_Asked](self._answer, name="admission")

    async def acquire(self, need: Request) -> Granted | Denied:
        """Grant or deny a request; a denial has a time to wait."""
        reply = LoopReply[Granted | Denied]()
        self._group.put(need, reply)
        return await reply

    async def release(self, ended: Result) -> Change:
        """Record the end of a granted request. Returns the change of the model's circuit breaker."""
        reply = LoopReply[Change]()
        self._group.put(ended, reply)
        return await reply

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:
        """Return for each model the number of requests that could leave within `horizon_s`. `models` has each group."""
        return self._admission.capacity(models, horizon_s=horizon_s)

    def _answer(self, group: Sequence[tuple[_Asked, Reply[Any]]]) -> None:
        answers = self._admission.answer([asked for asked, _ in group])
        for (_, reply), answer in zip(group, answers, strict=True):
            reply.set_result(answer)
