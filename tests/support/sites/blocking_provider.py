"""The provider for a test that has no event loop: a loop of its own, and each call waited for."""

from collections.abc import Mapping
from typing import Any

from worker.endpoints.sdk_address import usual_address
from worker.loop import LoopThread
from worker.provider.anthropic_client import AnthropicProvider
from worker.provider.reply import Broken, Received


class BlockingProvider:
    """An AnthropicProvider on a loop in a thread of its own."""

    def __init__(self, *, api_key: str = "k", base_url: str, connect_timeout_s: float = 5) -> None:
        async def opened() -> AnthropicProvider:
            return AnthropicProvider(usual_address(api_key, base_url), connect_timeout_s=connect_timeout_s)

        self._loop = LoopThread()
        self._provider = self._loop.run(opened())

    def call(self, *given: Any, **named: Any) -> Received | Broken:
        """Call, and wait."""
        return self._loop.run(self._provider.call(*given, **named))

    def facts(self, model: str) -> Mapping[str, Any] | None:
        """Ask for a model's facts."""
        return self._loop.run(self._provider.facts(model))

    def cut(self) -> None:
        """End the calls in flight."""
        self._loop.run(self._provider.cut())

    def close(self) -> None:
        """End the connections and the loop."""
        self._loop.close(self._provider.close)
