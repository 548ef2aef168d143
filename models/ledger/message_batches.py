"""Message batches in SQL: jobs taken into them in one transaction, a lease for each call, and their items."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Engine,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from models.database.compiled_sql import Cursor
from models.database.engine import LedgerPart, reading, transaction
from models.ids import new_id
from models.job.message_batch import MessageBatch, MessageBatchState, NewMessageBatch, OpenedBatch, OpenItem, WaitingJob
from models.job.values import Claim, Closing, Ending, Opening, OverCap
from models.ledger.budgets import reserve_or_leave
from models.ledger.claims import claim_of, claimed_columns
from models.ledger.ledger import Ledger
from models.outcome import HALF_PRICE, IN_BATCH, Reason, State
from models.schema.attempt import OPENING_COLUMNS, Attempt, opening_row, opening_values
from models.schema.batch import Batch
from models.schema.columns import db_now, now
from models.schema.job import TO_PACK, Job
from models.schema.message_batch import IS_FREE, IS_ORPHAN, OPEN
from models.schema.message_batch import MessageBatch as Row

_NOW = db_now(0.0)
_AT_ONCE, _STRAYS_FROM, LEFT_OUT = 500, 1000, "left_out"  # the last is the error type of items that were not sent
LOST = "lost"  # the error type of items whose message batch no list shows
_THIS_JOB = (Job.id == bindparam("job_id")) & (Job.lease_token == bindparam("token"))
_IS_TO_PACK = _THIS_JOB & (Job.state == State.WAITING) & (Job.outcome == HALF_PRICE)
_CLAIMED = claimed_columns(Job.__table__.c.id)
_OWN = "own_"  # the prefix of an attempt's columns beside those of its job
_NAMED = {"number": "attempt_no", "model": "requested_model"}
_OF_ATTEMPT = ("id", "number", "rung", "fallback_depth", "model", "max_tokens", "note", "lease_token", "opened_at")
_OF_ROW = {name: f"{_OWN}{name}" for name in _OF_ATTEMPT}
_OPENED = [getattr(Attempt, _NAMED.get(name, name)).label(label) for name, label in _OF_ROW.items()]
_HAS_ARRIVED = exists().where(Batch.id == Job.batch_id, Batch.job_count > 0)
_WAITS_FOR_PLACE = text(TO_PACK) & (Job.due_at > _NOW) & _HAS_ARRIVED
_CANDIDATES = (
    select(Job.id.label("job_id"), Job.due_at, *_CLAIMED)
    .where(_WAITS_FOR_PLACE)
    .order_by(Job.rung, Job.due_at)
    .limit(bindparam("count"))
)
_GO_LIVE = update(Job).where(_IS_TO_PACK).values(due_at=_NOW, outcome=None)
_TAKE = update(Job).where(_IS_TO_PACK).values(outcome=IN_BATCH, lease_token=Job.lease_token + 1)
_LEAVE = update(Job).where(_THIS_JOB, Job.outcome == IN_BATCH).values(outcome=HALF_PRICE)
_MADE = ("id", "namespace", "model", "headers", "size")
_MAKE = insert(Row).values(
    **{name: bindparam(name, type_=getattr(Row, name).type) for name in _MADE},
    state=MessageBatchState.SENDING,
    not_ours=[],
    made_at=_NOW,
    look_at=_NOW,
    switch_at=db_now(bindparam("in_s")),
)
_OPEN_ITEM = (
    insert(Attempt)
    .from_select(OPENING_COLUMNS, select(*opening_values()).select_from(Job).where(_THIS_JOB))
    .returning(Attempt.opened_at)
)
_OPEN_STRAY = (
    insert(Attempt)
    .from_select(OPENING_COLUMNS, select(*opening_values()).where(Job.id == bindparam("job_id")))
    .returning(Attempt.opened_at)
)
# Items are sent. The others were left out of the create, or are the cost of items that were taken for lost.
_IS_ITEM = (Attempt.reason != Reason.LATE) & Attempt.error_type.is_distinct_from(LEFT_OUT)
_DROP_ITEM = delete(Attempt).where(Attempt.id == bindparam("attempt_id"))
_RESIZE = update(Row).where(Row.id == bindparam("of_id")).values(size=bindparam("items"))
_UNMAKE = delete(Row).where(Row.id == bindparam("of_id"))
_WAITS = (Job.lease_token == Attempt.lease_token) & (Job.state == State.WAITING) & (Job.outcome == IN_BATCH)
_IS_WAITING = (Attempt.message_batch_id == Row.id) & (Job.id == Attempt.job_id) & _WAITS
_SAME = ("id", "provider_id", "model", "headers", "size", "cache_ttl", "is_proven", "looks")
_TIMES = ("sent_at", "switch_at", "cancelled_at")
_HELD = (Row.id == bindparam("of_id")) & (Row.lease_token == bindparam("of_token"))


class MessageBatches(LedgerPart):
    """Writes and reads message batches. Each method raises LedgerError if the ledger is away."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        super().__init__(engine)
        self._ledger = ledger

    def candidates(self, *, limit: int) -> list[WaitingJob]:
        """List jobs that wait for a place in a message batch: by rung, the nearest deadline first."""
        with reading(self._engine) as connection:
            rows = _dicts(connection.execute(_CANDIDATES, {"count": limit}))
        return [
            WaitingJob(claim=self._claim(row), live_in_s=(row["due_at"] - row["claimed_at"]).total_seconds())
            for row in rows
        ]

    def go_live(self, claims: Sequence[Claim]) -> None:
        """Let jobs that wait for a place be called live, at once."""
        with transaction(self._engine) as connection:
            connection.execute(_GO_LIVE, [{"job_id": claim.job_id, "token": claim.token} for claim in claims])

    def to_pack(self, namespace: str, *, most: int) -> int:
        """Count the jobs that wait for a place, up to `most`. Returns 0 while a create has no answer yet."""
        some = select(literal(1)).select_from(Job).where(_WAITS_FOR_PLACE).limit(most).subquery()
        is_sending = exists().where(text(OPEN), Row.state == MessageBatchState.SENDING, Row.namespace == namespace)
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(some).where(~is_sending)) or 0

    def open(self, new: NewMessageBatch) -> OpenedBatch:
        """Commit a message batch with an attempt and reservations for each item, in one transaction.

        A job that went on meanwhile is left out, as is a job without room under a cap.
        """
        reply: Future[OpenedBatch] = Future()
        self._ledger.submit(partial(self._open, new=new), reply)
        return reply.result()

    def wait_for_room(self, ends: Sequence[tuple[Claim, Ending]]) -> None:
        """Park jobs that were left out for want of room under a cap."""
        reply: Future[None] = Future()
        self._ledger.submit(partial(self._ledger.ends.park_unpacked, ends=ends), reply)
        reply.result()

    def _open(self, cursor: Cursor, new: NewMessageBatch) -> OpenedBatch:
        values = {name: getattr(new, name) for name in _MADE if name != "size"}
        cursor.count(_MAKE, values | {"size": len(new.items), "in_s": new.switch_in_s})
        ends = [self._open_item(cursor, claim, opening) for claim, opening in new.items]
        count = ends.count(True)
        if not count:
            cursor.count(_UNMAKE, {"of_id": new.id})
        elif count < len(new.items):
            cursor.count(_RESIZE, {"of_id": new.id, "items": count})
        return OpenedBatch(count, [end for end in ends if not isinstance(end, bool)])

    def _open_item(self, cursor: Cursor, claim: Claim, opening: Opening) -> bool | tuple[Claim, OverCap]:
        if not cursor.count(_TAKE, {"job_id": claim.job_id, "token": claim.token}):
            return False
        row = opening_row(claim, opening, self._ledger.worker) | {"token": claim.token + 1}
        opened_at = (cursor.first(_OPEN_ITEM, row) or {})["opened_at"]
        if (over := reserve_or_leave(cursor, opening, opened_at=opened_at)) is not None:
            cursor.count(_DROP_ITEM, {"attempt_id": opening.id})
            cursor.count(_LEAVE, {"job_id": claim.job_id, "token": claim.token + 1})
            return replace(claim, token=claim.token + 1), over
        self._ledger.ends.note(cursor, claim.batch_id, attempts=1)
        return True

    def due(self, namespace: str, *, most: int) -> list[str]:
        """List the message batches of a key, or of a lost key, that are due longest and in nobody's hand."""
        with reading(self._engine) as connection:
            is_ours = (Row.namespace == namespace) | IS_ORPHAN
            due = select(Row.id).where(IS_FREE, is_ours).order_by(Row.look_at).limit(most)
            return [*connection.scalars(due)]

    def take(self, batch_id: str, *, lease_s: float) -> MessageBatch | None:
        """Take a message batch in hand. Returns None if another worker has the lease, or no call is due."""
        leased = (
            update(Row)
            .where(Row.id == batch_id, IS_FREE)
            .values(lease_token=Row.lease_token + 1, lease_until=db_now(lease_s), lease_holder=self._ledger.worker)
        )
        waiting = select(func.count()).where(_IS_WAITING).correlate(Row).scalar_subquery().label("waiting")
        with transaction(self._engine) as connection:
            if not connection.execute(leased).rowcount:
                return None
            row = connection.execute(select(Row.__table__, waiting).where(Row.id == batch_id)).mappings().one()
            at = now(connection)
        ago = {name: None if row[name] is None else (at - row[name]).total_seconds() for name in _TIMES}
        return MessageBatch(
            **{name: row[name] for name in _SAME},
            token=row["lease_token"],
            state=MessageBatchState(row["state"]),
            not_ours=tuple(row["not_ours"]),
            sent_ago_s=ago["sent_at"],
            switch_in_s=-(ago["switch_at"] or 0.0),
            is_cancelled=ago["cancelled_at"] is not None,
            waiting=row["waiting"],
        )

    def put(self, batch: MessageBatch, *, look_in_s: float | None, **changes: Any) -> bool:
        """Put a message batch down, to be looked after in `look_in_s` seconds. Returns False if our lease was over.

        `changes` are columns. A word of time, such as `ended_at="now"`, is the ledger's clock.
        """
        values = {name: _NOW if value == "now" else value for name, value in changes.items()}
        look_at = None if look_in_s is None else db_now(look_in_s)
        return self._change(batch, look_at=look_at, lease_until=None, **values)

    def mark_sent(self, batch: MessageBatch, *, size: int, cache_ttl: str | None) -> bool:
        """Record that a create of so many items leaves now. Returns False if our lease was over."""
        return self._change(batch, sent_at=_NOW, size=size, cache_ttl=cache_ttl)

    def renew(self, batch: MessageBatch, *, lease_s: float) -> bool:
        """Hold a message batch longer. Returns False if our lease was over, or the message batch was put down."""
        return self._change(batch, Row.lease_until.is_not(None), lease_until=db_now(lease_s))

    def _change(self, batch: MessageBatch, *conditions: ColumnElement[bool], **values: Any) -> bool:
        with transaction(self._engine) as connection:
            changed = update(Row).where(_HELD, *conditions).values(**values)
            return bool(connection.execute(changed, {"of_id": batch.id, "of_token": batch.token}).rowcount)

    def halve(self, batch: MessageBatch) -> None:
        """Replace a message batch that is too large by two of half the size, with the same items."""
        ids = self.item_ids(batch.id)
        with transaction(self._engine) as connection:
            given = {"of_id": batch.id, "of_token": batch.token}
            is_whole = _HELD & (Row.state == MessageBatchState.SENDING)
            over = {"state": MessageBatchState.REFUSED, "look_at": None, "lease_until": None}
            if not connection.execute(update(Row).where(is_whole).values(over), given).rowcount:
                return
            whole = connection.execute(select(Row.__table__).where(Row.id == batch.id)).mappings().one()
            for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                kept = {name: whole[name] for name in ("namespace", "model", "headers", "switch_at")}
                made = {"id": new_id(), "size": len(half), "state": MessageBatchState.SENDING, "not_ours": [], **kept}
                connection.execute(insert(Row).values(made_at=_NOW, look_at=_NOW, **made))
                connection.execute(update(Attempt).where(Attempt.id.in_(half)).values(message_batch_id=made["id"]))

    def item_ids(self, batch_id: str) -> list[str]:
        """List the custom_ids of a message batch, which are the ids of its attempts."""
        with reading(self._engine) as connection:
            ours = select(Attempt.id).where(Attempt.message_batch_id == batch_id, _IS_ITEM).order_by(Attempt.id)
            return [*connection.scalars(ours)]

    def open_items(self, batch_id: str, *, ids: Iterable[str] | None = None, after: str = "") -> list[OpenItem]:
        """List items whose end is not in the ledger, by id: those of `ids`, or some hundred that follow `after`."""
        is_chosen = Attempt.closed_at.is_(None) & (Attempt.id > after if ids is None else Attempt.id.in_([*ids]))
        return self._items(batch_id, is_chosen, None if ids else _AT_ONCE)

    def lost_items(self, batch_id: str, ids: Iterable[str]) -> list[OpenItem]:
        """List items of `ids` that were closed as lost, and whose cost is in no row."""
        recorded = select(Attempt.note).where(Attempt.message_batch_id == batch_id, Attempt.reason == Reason.LATE)
        is_lost = (Attempt.error_type == LOST) & Attempt.id.in_([*ids])
        return self._items(batch_id, is_lost & Attempt.id.not_in(recorded), None)

    def _items(self, batch_id: str, is_chosen: ColumnElement[bool], limit: int | None) -> list[OpenItem]:
        items = (
            select(Job.id.label("job_id"), *_CLAIMED, *_OPENED, _WAITS.label("is_waiting"))
            .join(Attempt, Attempt.job_id == Job.id)
            .where(Attempt.message_batch_id == batch_id, _IS_ITEM, is_chosen)
            .order_by(Attempt.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            rows = _dicts(connection.execute(items))
        return [self._item(batch_id, row) for row in rows]

    def end_item(self, item: OpenItem, ending: Ending, closing: Closing, reply: Any) -> None:
        """Have an item closed and its job moved on, as `JobEnds.finish_item` does."""
        write = partial(self._ledger.ends.finish_item, job_id=item.claim.job_id, token=item.claim.token)
        self._ledger.submit(partial(write, ending=ending, closing=closing), reply)

    def record_stray(self, item: OpenItem, closing: Closing, reply: Any) -> None:
        """Have the cost of an item that was closed as lost written: a late attempt names the item in `note`."""
        number = item.opening.number + _STRAYS_FROM  # a live worker may have its job, and its own next number
        opening = replace(item.opening, id=new_id(), number=number, reason=Reason.LATE)
        given = opening_row(item.claim, replace(opening, note=item.opening.id), self._ledger.worker)

        def recorded(cursor: Cursor) -> bool:
            cursor.first(_OPEN_STRAY, given)
            self._ledger.ends.note(cursor, item.claim.batch_id, attempts=1)
            self._ledger.ends.close(cursor, replace(closing, attempt_id=opening.id), is_late=True)
            return False

        self._ledger.submit(recorded, reply)

    def provider_ids(self) -> set[str]:
        """Return the ids of all message batches that are known to be ours, whatever the key: keys share a workspace."""
        with reading(self._engine) as connection:
            known = select(Row.provider_id).where(Row.provider_id.is_not(None))
            return {str(found) for found in connection.scalars(known)}

    def _item(self, batch_id: str, row: dict[str, Any]) -> OpenItem:
        own = {name: row[label] for name, label in _OF_ROW.items()}
        claim = self._claim({**row, "lease_token": own.pop("lease_token"), "rung": own["rung"]})
        opened_at = own.pop("opened_at")
        opening = Opening(**own, reason=Reason.START, message_batch_id=batch_id)
        return OpenItem(claim=claim, opening=opening, opened_at=opened_at, is_waiting=row["is_waiting"])

    def _claim(self, row: Mapping[str, Any]) -> Claim:
        if row["counted"] is None:
            self._ledger.ends.leave_uncounted(row["batch_id"])
        return claim_of(row["job_id"], row)


def _dicts(found: CursorResult[Any]) -> list[dict[str, Any]]:
    """Return rows by column; RowMapping takes three times as long."""
    names = [*found.keys()]
    return [dict(zip(names, row, strict=True)) for row in found]
