"""Puts jobs in, watches them come out."""

from typing import TYPE_CHECKING, Any

from producer.map_reduce.plan import Document
from producer.prompt.prompt import Prompt

if TYPE_CHECKING:
    from producer.client import Batch, Producer

__all__ = ["Batch", "Document", "Producer", "Prompt"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy and Celery take a second to import: `stepdown --help` must not pay for them.
    if name in {"Batch", "Producer"}:
        from producer import client  # noqa: PLC0415

        return getattr(client, name)
    message = f"module 'producer' has no attribute {name!r}"
    raise AttributeError(message)
