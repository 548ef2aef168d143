"""The message batch: requests bought together at half price, as the provider knows them and as we do."""

from sqlalchemy import Index, Text, false, literal, text
from sqlalchemy.orm import Mapped, mapped_column

from models.job.message_batch import MessageBatchState
from models.schema.columns import Base, Id, Json, Line, Time, Word, db_now

OPEN = "look_at IS NOT NULL"  # some call is still to be made
MOST_KEPT_S = 29 * 86_400.0  # the provider keeps results so long
_NOW, _ORPHAN_S = db_now(0.0), 3600.0


class MessageBatch(Base):
    """A row committed with the attempts of its items, before the create leaves. Times are the database's clock.

    Each attempt with its id is an item, and the attempt's id is the item's custom_id.
    """

    __tablename__ = "message_batches"

    id: Mapped[Id] = mapped_column(primary_key=True)
    namespace: Mapped[Line]  # digest of the API key and the address, as in Redis
    provider_id: Mapped[Line | None]  # NULL until the create is answered, or a list shows the id
    model: Mapped[Line]
    headers: Mapped[Json]  # version and betas of all its requests
    size: Mapped[int]
    cache_ttl: Mapped[Word | None]  # the lifetime of marked prefixes, 5m or 1h; NULL if no item shares one
    state: Mapped[Word]  # a word of MessageBatchState
    is_proven: Mapped[bool] = mapped_column(server_default=false())  # False while the id may be another client's
    not_ours: Mapped[Json]  # ids of the provider that turned out to be another's
    error: Mapped[str | None] = mapped_column(Text)  # the provider's words about the last failed call
    made_at: Mapped[Time]
    sent_at: Mapped[Time | None]  # when the create left
    switch_at: Mapped[Time]  # when to cancel, so that the jobs can still go live
    cancelled_at: Mapped[Time | None]  # when the provider took the cancel
    ended_at: Mapped[Time | None]  # when its end was seen
    done_at: Mapped[Time | None]  # when its results were in the ledger
    look_at: Mapped[Time | None]  # the next call; NULL if nothing is left to be done
    looks: Mapped[int] = mapped_column(
        server_default="0"
    )  # in a row: lists without a match, polls met by a limit, or results not read
    lease_token: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[Time | None]
    lease_holder: Mapped[Line | None]

    __table_args__ = (
        Index(None, "look_at", sqlite_where=text(OPEN), postgresql_where=text(OPEN)),
        Index(None, "model", "sent_at"),
    )


# The next call is due, and nobody has the lease. A state of a newer version is left to workers of that version.
IS_FREE = (
    text(OPEN)
    & (MessageBatch.look_at <= _NOW)
    & (MessageBatch.lease_until.is_(None) | (MessageBatch.lease_until <= _NOW))
    & MessageBatch.state.in_([literal(state) for state in MessageBatchState])
)
# Any key looks after the message batches of a lost key. To the key of another workspace their ids mean nothing.
IS_ORPHAN = (MessageBatch.look_at <= db_now(-_ORPHAN_S)) & (
    MessageBatch.provider_id.is_not(None) | (MessageBatch.switch_at <= db_now(-MOST_KEPT_S))
)
