"""The provider's calls about message batches, each made once, and the parts of the replies that matter."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from worker.provider.anthropic_client import AnthropicProvider
from worker.provider.reply import Broken, Received

_PATH = "/v1/messages/batches"
_CREATE_S = 120.0  # up to 32 MB leave this machine
_CALL_S = 30.0
_SILENCE_S = 60.0
_DOWNLOAD_S = 3600.0
_PAGE = 100
_MOST_PAGES = 100
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBatch:
    """A message batch in the provider's words. `created_ago_s` is by the provider's own clock."""

    id: str
    has_ended: bool
    size: int
    created_ago_s: float


class MessageBatchCalls:
    """Calls over a provider's connections. A reply is the whole response, or the fault of the network."""

    def __init__(self, provider: AnthropicProvider) -> None:
        self._provider = provider

    async def create(self, requests: Sequence[bytes], headers: Mapping[str, str]) -> Received | Broken:
        """Create a message batch of requests, each JSON. The SDK's own retries could create a second."""
        body = b'{"requests":[' + b",".join(requests) + b"]}"
        sent_as = {"content-type": "application/json", **headers}
        return await self._provider.exchange("POST", _PATH, timeout_s=_CREATE_S, body=body, headers=sent_as)

    async def retrieve(self, provider_id: str) -> Received | Broken:
        """Retrieve a message batch."""
        return await self._provider.exchange("GET", f"{_PATH}/{provider_id}", timeout_s=_CALL_S)

    async def cancel(self, provider_id: str) -> Received | Broken:
        """Cancel a whole message batch; running items may still end."""
        return await self._provider.exchange("POST", f"{_PATH}/{provider_id}/cancel", timeout_s=_CALL_S)

    async def results(self, provider_id: str, into: Callable[[bytes], object]) -> Received | Broken:
        """Download the results. The path is ours: a reply may name any address."""
        path = f"{_PATH}/{provider_id}/results"
        # Parts may drip for ever.
        return await self._provider.exchange("GET", path, timeout_s=_DOWNLOAD_S, silence_s=_SILENCE_S, into=into)

    async def listed(self, *, since_s: float) -> list[ListedBatch] | Received | Broken:
        """List the message batches created within `since_s` seconds, the newest first. Returns a reply that is no list.

        The list has no custom_ids.
        """
        found: list[ListedBatch] = []
        after = ""
        for _ in range(_MOST_PAGES):
            reply = await self._provider.exchange("GET", f"{_PATH}?limit={_PAGE}{after}", timeout_s=_CALL_S)
            page = body_of(reply)
            if page is None or not isinstance(reply, Received) or not isinstance(page.get("data"), list):
                return reply
            listed = [*_batches(page["data"], _clock_of(reply))]
            found += [batch for batch in listed if batch.created_ago_s <= since_s]
            if not page.get("has_more") or not listed or listed[-1].created_ago_s > since_s:
                break
            after = f"&after_id={listed[-1].id}"
        return found


def body_of(reply: Received | Broken) -> Mapping[str, Any] | None:
    """Return the object in a good reply. Returns None for any other."""
    if isinstance(reply, Broken) or reply.status != _OK:
        return None
    try:
        body = json.loads(reply.body)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def batch_of(reply: Received | Broken) -> ListedBatch | None:
    """Return the message batch in a good reply. Returns None for any other."""
    body = body_of(reply)
    found = [] if body is None or not isinstance(reply, Received) else [*_batches([body], _clock_of(reply))]
    return found[0] if found else None


def _batches(listed: Sequence[object], at: datetime) -> Iterator[ListedBatch]:
    for each in listed:
        match each:
            case {
                "id": str(known),
                "processing_status": str(state),
                "request_counts": dict(counts),
                "created_at": str(created),
            } if known and (created_at := _time(datetime.fromisoformat, created)):
                yield ListedBatch(
                    id=known,
                    has_ended=state == "ended",
                    size=sum(count for count in counts.values() if isinstance(count, int)),
                    created_ago_s=(at - created_at).total_seconds(),
                )


def _clock_of(reply: Received) -> datetime:
    """Return the time by the provider's clock, which may differ from ours by hours."""
    return _time(parsedate_to_datetime, reply.headers.get("date", "")) or datetime.now(UTC)


def _time(read: Callable[[str], datetime], text: str) -> datetime | None:
    """Read a time, in UTC if no zone is named. Returns None for any other text."""
    try:
        found = read(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
