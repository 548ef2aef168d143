"""The provider of a chain: each rung's request goes to the rung's own endpoint."""

from collections.abc import Mapping
from typing import Any

from models.endpoints import Endpoint
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of, model_of, named_at
from worker.provider.anthropic_client import AnthropicProvider
from worker.provider.reply import Broken, Received


class ByEndpoint:
    """Sends each request to the endpoint of its rung. `usual` is the API of ANTHROPIC_BASE_URL."""

    def __init__(
        self,
        usual: AnthropicProvider,
        others: Mapping[str, AnthropicProvider],
        endpoints: Mapping[str, Endpoint],
    ) -> None:
        self.usual = usual
        self._providers = {DEFAULT_ENDPOINT: usual, **others}
        self._endpoints = endpoints

    async def call(self, rung: str, params: Mapping[str, Any], **sent: Any) -> Received | Broken:
        """Send a request to the model of a rung, as `AnthropicProvider.call` with the same options."""
        return await self._providers[endpoint_of(rung)].call(self._id_of(rung), params, **sent)

    async def facts(self, rung: str) -> Mapping[str, Any] | None:
        """Return the facts of a rung's model, as `AnthropicProvider.facts`. Empty if the endpoint states none."""
        endpoint = self._endpoints.get(endpoint_of(rung))
        if endpoint is not None and not endpoint.lists_models:
            return {}
        return await self._providers[endpoint_of(rung)].facts(self._id_of(rung))

    def served(self, rung: str, model: str) -> str:
        """Return the name of the model that answered on a rung: by the reply, or the rung's own.

        The usual API is trusted, and other endpoints as their tables say.
        """
        endpoint = self._endpoints.get(endpoint_of(rung))
        if endpoint is None:
            return model
        return named_at(endpoint.name, endpoint.our_name(model)) if endpoint.trusts_model else rung

    async def cut(self) -> None:
        """End the calls in flight at once, at every endpoint."""
        for provider in self._providers.values():
            await provider.cut()

    async def close(self) -> None:
        """End the connections."""
        for provider in self._providers.values():
            await provider.close()

    def _id_of(self, rung: str) -> str:
        endpoint = self._endpoints.get(endpoint_of(rung))
        return rung if endpoint is None else endpoint.id_of(model_of(rung))
