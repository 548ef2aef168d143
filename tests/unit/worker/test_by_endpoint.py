"""The name of the model that answered, by the reply or by the rung, as the table of the endpoint says."""

from typing import Any

import pytest

from models.endpoints import Endpoint
from worker.endpoints.by_endpoint import ByEndpoint

_BASE: dict[str, Any] = {"kind": "compatible", "base_url": "https://a"}


@pytest.mark.parametrize(
    ("rung", "served", "name", "more"),
    [
        ("claude-opus-4-7", "claude-opus-4-7-20260401", "claude-opus-4-7-20260401", {}),
        ("cloud/qwen3", "/models/qwen3.gguf", "cloud/qwen3", {}),
        ("cloud/qwen3", "cheapest", "cloud/cheapest", {"trust_model": True}),
        ("cloud/opus", "opus-prod", "cloud/opus", {"trust_model": True, "ids": {"opus": "opus-prod"}}),
        ("cloud/claude-opus-4-7", "claude-opus-4-8", "cloud/claude-opus-4-8", {"kind": "aws", "region": "us-east-1"}),
    ],
)
def test_a_reply_is_trusted_as_far_as_the_endpoint(rung: str, served: str, name: str, more: dict[str, Any]) -> None:
    endpoints = {"cloud": Endpoint(name="cloud", **(_BASE | more))}
    provider: Any = None
    assert ByEndpoint(provider, {}, endpoints).served(rung, served) == name
