"""The Message that a direct call returns: the SDK's own, with the job and the cost of the call."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from anthropic.types import Message


class ChainMessage(Message):
    """The SDK's own Message, as frameworks ask for, with the job and the cost of the call.

    `job_id` is the call's, for `ChainClient.child`. `cost_usd` is None if the cost of an attempt is unknown.
    """

    job_id: str
    fallback_depth: int
    cost_usd: Decimal | None


def as_message(message: Mapping[str, Any], **more: Any) -> ChainMessage:
    """Give a received Message the SDK's attributes; as in the SDK, unknown fields stay as received."""
    return ChainMessage.construct(**{**message, **more})
