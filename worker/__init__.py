"""Takes a job from claimed to finished. `from worker import call_with_fallback, ChainClient` needs no queue."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.direct.call_with_fallback import call_with_fallback
    from worker.direct.chain_client import ChainClient

__all__ = ["ChainClient", "call_with_fallback"]


def __getattr__(name: str) -> Any:
    # The provider's SDK takes seconds to import: only callers pay for the import.
    if name == "call_with_fallback":
        from worker.direct.call_with_fallback import call_with_fallback  # noqa: PLC0415

        return call_with_fallback
    if name == "ChainClient":
        from worker.direct.chain_client import ChainClient  # noqa: PLC0415

        return ChainClient
    message = f"module 'worker' has no attribute {name!r}"
    raise AttributeError(message)
