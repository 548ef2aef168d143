"""The workspace of a key: all its message batches, the requests that wait, and the clock that runs them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from producer.simulator.account.purchases import PurchaseLog
from producer.simulator.answer.draw import draw_for
from producer.simulator.answer.script import parse_script
from producer.simulator.batches.batch import Batch
from producer.simulator.batches.choose import BatchChooser, Call
from producer.simulator.batches.requests import Item
from producer.simulator.batches.results import kind_of, line_of
from producer.simulator.request.checks import RefusedError, invalid
from producer.simulator.request.errors import ApiError
from producer.simulator.simulation import Incoming, Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from producer.simulator.answer.batch_script import BatchRule, BatchSettings
    from producer.simulator.answer.draw import Draw
    from producer.simulator.request.versions import Head

_SLICE = 20  # items that run before other calls have their turn


@dataclass(slots=True)
class Workspace:
    """The message batches over a simulation, which answers their items like live requests."""

    simulation: Simulation
    creates: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    _batches: dict[str, Batch] = field(default_factory=dict)  # the oldest first
    _active: list[Batch] = field(default_factory=list)
    _chooser: BatchChooser = field(init=False)
    _seen: Counter[bytes] = field(default_factory=Counter)
    _elsewhere: Simulation = field(init=False)

    def __post_init__(self) -> None:
        clock, utc_now = self.simulation.clock, self.simulation.utc_now
        # Another client's items are no purchases of this log.
        self._elsewhere = Simulation(script=parse_script(""), log=PurchaseLog(), clock=clock, utc_now=utc_now, seed=1)
        self.play()

    def play(self) -> None:
        """Follow the script of the simulation from now on; message batches keep their course."""
        self._chooser = BatchChooser(self.simulation.script.batch_rules, self.simulation.clock())

    @property
    def settings(self) -> BatchSettings:
        """The habits of the script."""
        return self.simulation.script.batches

    def utc_now(self) -> datetime:
        """Read the provider's wall clock."""
        return self.simulation.utc_now() + timedelta(seconds=self.settings.skew_s)

    @property
    def waiting(self) -> int:
        """How many items are in the processing queue."""
        return sum(len(batch.items) - sum(batch.counts.values()) for batch in self._active)

    def draw(self, call: str, body: bytes) -> Draw:
        """Fix the chance of a call by its kind, its body and how often both were seen."""
        digest = blake2b(body, key=call.encode(), digest_size=16).digest()
        self._seen[digest] += 1
        return draw_for(self.simulation.seed, digest, self._seen[digest])

    def choose(self, call: Call, draw: Draw) -> BatchRule:
        """Return the rule for a call."""
        self.calls[call.kind] += 1
        return self._chooser.choose(call, draw, self.simulation.clock())

    def create(self, items: Sequence[Item], head: Head, rule: BatchRule, draw: Draw, *, foreign: bool = False) -> Batch:
        """Take a message batch into the queue."""
        word = f"foreign {len(self._batches)}" if foreign else "batch"
        batch = Batch(
            number=0 if foreign else self.creates,
            id="msgbatch_01" + draw.token(word),
            items=items,
            head=head,
            settings=rule.settled(self.settings),
            draw=draw,
            created_s=self.simulation.clock(),
            created_at=self.utc_now(),
            is_foreign=foreign,
        )
        self._batches[batch.id] = batch
        self._active.append(batch)
        return batch

    def create_foreign(self, like: Sequence[Item], head: Head, rule: BatchRule, draw: Draw) -> None:
        """Let another client of the workspace create message batches of the same size."""
        for number in range(rule.foreign):
            items = [Item(f"foreign-{number}-{at}", item.body) for at, item in enumerate(like)]
            self.create(items, head, rule, draw, foreign=True)

    def find(self, batch_id: str) -> Batch:
        """Return a message batch, once a retrieve can see one."""
        batch = self._batches.get(batch_id)
        if batch is None or not batch.is_seen(self.simulation.clock(), batch.settings.create_lag_s):
            raise not_found(f"Message Batch {batch_id} not found.")
        return batch

    def page(self, limit: int, after_id: str | None, before_id: str | None) -> tuple[list[Batch], bool]:
        """Return a page of the list, the newest first, and whether more follow in the asked direction."""
        now_s, newest = self.simulation.clock(), reversed(self._batches.values())
        seen = [batch for batch in newest if batch.is_seen(now_s, batch.settings.list_lag_s)]
        ids = [batch.id for batch in seen]
        for name, cursor in (("after_id", after_id), ("before_id", before_id)):
            if cursor is not None and cursor not in ids:
                raise invalid(f"{name}: no such Message Batch: {cursor}")
        if before_id is not None:
            end = ids.index(before_id)
            start = max(0, end - limit)
            return seen[start:end], start > 0
        start = 0 if after_id is None else ids.index(after_id) + 1
        return seen[start : start + limit], start + limit < len(seen)

    def cancel(self, batch: Batch) -> None:
        """Cancel a whole message batch. A cancel of one that is being cancelled changes nothing."""
        if batch.ended_at is not None:
            raise invalid(f"Message Batch {batch.id} has ended and cannot be canceled.")
        batch.cancel(self.simulation.clock(), self.utc_now())

    def delete(self, batch: Batch) -> None:
        """Delete a message batch that has ended."""
        if batch.ended_at is None:
            raise invalid(f"Message Batch {batch.id} is still in progress: cancel the batch before you delete it.")
        del self._batches[batch.id]

    def results(self, batch: Batch) -> list[bytes]:
        """Return the lines of a message batch that has ended, once they can be seen."""
        if batch.is_archived(self.simulation.clock()):
            raise not_found(f"Message Batch {batch.id} is archived; its results are no longer available.")
        if not batch.has_results(self.simulation.clock()):
            raise not_found(f"Message Batch {batch.id} has no available results.")
        return batch.lines

    def everything(self) -> list[dict[str, object]]:
        """List all message batches for a test, the oldest first, with the ids of their items."""
        return [
            {
                **batch.as_api(self.simulation.clock(), ""),
                "number": batch.number,
                "is_foreign": batch.is_foreign,
                "custom_ids": [item.custom_id for item in batch.items],
            }
            for batch in self._batches.values()
        ]

    def settle(self, most: int = _SLICE) -> float | None:
        """Run the items that are due, some at a time, and end the message batches that are over.

        Returns the seconds until something is due; None without a message batch that is under way.
        """
        now_s = self.simulation.clock()
        for batch in self._active:
            while batch.is_due(now_s):
                if not most:
                    return 0.0
                most -= 1
                self._run(batch, batch.queue.popleft()[1])
            if not batch.queue and batch.ends_s <= now_s:
                self._end(batch, now_s)
        self._active = [batch for batch in self._active if batch.ended_at is None]
        return max(0.0, min(batch.next_s() for batch in self._active) - now_s) if self._active else None

    def _run(self, batch: Batch, position: int) -> None:
        item = batch.items[position]
        provider = self._elsewhere if batch.is_foreign else self.simulation
        reply = provider.answer(Incoming(body=item.body, head=batch.head, batch_id=batch.id, custom_id=item.custom_id))
        kind = kind_of(reply)
        batch.keep(kind, line_of(item.custom_id, kind, reply.body))

    def _end(self, batch: Batch, now_s: float) -> None:
        for position, kind in batch.left.items():
            batch.keep(kind, line_of(batch.items[position].custom_id, kind))
        batch.ended_s, batch.ended_at = now_s, self.utc_now()


def not_found(message: str) -> RefusedError:
    """Refuse with the API's 404."""
    return RefusedError("404", ApiError(status=404, type="not_found_error", message=message))
