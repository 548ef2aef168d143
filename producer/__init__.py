"""Puts jobs in, watches them come out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.client import Batch, Producer
    from producer.map_reduce.plan import Document
    from producer.prompt.prompt import Prompt

_MODULES = {
    "Batch": "producer.client",
    "Document": "producer.map_reduce.plan",
    "Producer": "producer.client",
    "Prompt": "producer.prompt.prompt",
}
__all__ = ["Batch", "Document", "Producer", "Prompt"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes half a second to import: `stepdown --help` must not pay for them.
    if module := _MODULES.get(name):
        return getattr(import_module(module), name)
    message = f"module 'producer' has no attribute {name!r}"
    raise AttributeError(message)
