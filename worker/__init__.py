"""Takes a job from claimed to finished. `from worker import call_with_fallback, ChainClient` needs no queue."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.direct.call_with_fallback import acall_with_fallback, call_with_fallback
    from worker.direct.chain_client import AsyncChainClient, ChainClient

__all__ = ["AsyncChainClient", "ChainClient", "acall_with_fallback", "call_with_fallback"]
_HOMES = dict.fromkeys(("AsyncChainClient", "ChainClient"), "worker.direct.chain_client")
_HOMES |= dict.fromkeys(("acall_with_fallback", "call_with_fallback"), "worker.direct.call_with_fallback")


def __getattr__(name: str) -> Any:
    # The provider's SDK takes seconds to import: only callers pay for the import.
    if name not in _HOMES:
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
