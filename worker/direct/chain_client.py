"""The chain in the shape of the anthropic SDK's client, for frameworks that build agents on such a client."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any, Self

from models.chain.capabilities import headers_problem
from models.chain.chain import Chain, called_in
from models.errors import InputError
from models.job.answer import Answer
from worker.direct.chain_message import ChainMessage, as_message
from worker.direct.direct_job import DirectCall, answer_now, answer_soon, check_labels, worker_of_this_process

_HERE = "messages.create"
_LEFT_OUT = ("NotGiven", "Omit")  # the values that the SDK's users pass for "not given"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainClient:
    """A client whose `messages.create` asks the chain, each call in the ledger. Threads may share a client."""

    task: str | None = None
    parent: str | None = None
    depth: int | None = None

    @property
    def messages(self) -> "Messages":
        """The namespace of `create`, as in the SDK."""
        return Messages(client=self)

    def child(self, answer: ChainMessage | str, *, task: str | None = None) -> Self:
        """Return a client for a sub-agent, whose calls are one deeper, below the call that `answer` is from.

        `answer` is a message of this client, or the job_id of any call. `task` is the sub-agent's own, if different.
        """
        job_id = answer if isinstance(answer, str) else answer.job_id
        return type(self)(task=task or self.task, parent=job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """The part of the client that asks."""

    client: ChainClient

    @property
    def with_raw_response(self) -> "RawMessages":
        """The same, as frameworks ask that look at headers."""
        return RawMessages(messages=self)

    def create(
        self, *, model: str, max_tokens: int, messages: Iterable[Any], stream: bool = False, **params: Any
    ) -> ChainMessage:
        """Ask the chain, and return the Message of the first model that answered: `message.model` names the model.

        A `model` of MODEL_CHAIN, with its date or without, is the start. With any other model the start is by
        TASK_STARTS for the client's task. Without such a start the model is refused, as by `stepdown serve`. Other
        params are sent unchanged. `timeout` has no effect: CALL_TIMEOUT_S and max_tokens set each attempt's deadline.
        Answers come back whole. `extra_headers` may hold `anthropic-version` and `anthropic-beta`, which each request
        has. Raises InputError for unsendable options (`stream=True`, other headers), ChainExhaustedError if no model
        answered or each refused. Raises TooDeepError, TreeBudgetError, SettingsError, LedgerError.
        """
        return _message(answer_now(_asked(self.client, model, max_tokens, messages, stream=stream, **params)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """An answer before parsing: `parse()` returns the Message. `headers` are ours: the provider's are not kept."""

    message: ChainMessage
    headers: Mapping[str, str]

    def parse(self) -> ChainMessage:
        """Give the Message."""
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessages:
    """The value of `with_raw_response`."""

    messages: Messages

    def create(self, **request: Any) -> RawMessage:
        """Ask as `Messages.create` does."""
        return _raw(self.messages.create(**request))


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncChainClient(ChainClient):
    """A `ChainClient` for callers on an event loop, as the SDK's AsyncAnthropic: hundreds of agents in one process.

    If the caller is cancelled, the call goes on to its end, for its cost and its answer.
    """

    @property
    def messages(self) -> "AsyncMessages":  # type: ignore[override]  # as in the SDK
        """The namespace of `create`."""
        return AsyncMessages(client=self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncMessages:
    """The part of the client that asks."""

    client: ChainClient

    @property
    def with_raw_response(self) -> "AsyncRawMessages":
        """The same, as frameworks ask that look at headers."""
        return AsyncRawMessages(messages=self)

    async def create(
        self, *, model: str, max_tokens: int, messages: Iterable[Any], stream: bool = False, **params: Any
    ) -> ChainMessage:
        """Ask the chain as `Messages.create` does."""
        asked = await asyncio.to_thread(_asked, self.client, model, max_tokens, messages, stream=stream, **params)
        return _message(await answer_soon(asked))


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncRawMessages:
    """The value of `with_raw_response`."""

    messages: AsyncMessages

    async def create(self, **request: Any) -> RawMessage:
        """Ask as `AsyncMessages.create` does."""
        return _raw(await self.messages.create(**request))


def _asked(client: ChainClient, model: str, max_tokens: int, messages: Iterable[Any], **more: Any) -> DirectCall:
    check_labels(_HERE, depth=client.depth, task=client.task, parent=client.parent)
    headers = _headers(more.pop("extra_headers", None))
    params = _request({"max_tokens": max_tokens, "messages": messages, **more})
    start = _start(model, worker_of_this_process().chain, client.task)
    return DirectCall(
        params=params, task=client.task, start=start, parent=client.parent, depth=client.depth, headers=headers
    )


def _message(answer: Answer) -> ChainMessage:
    return as_message(
        answer.message or {}, job_id=answer.job_id, fallback_depth=answer.fallback_depth, cost_usd=answer.cost_usd
    )


def _raw(message: ChainMessage) -> RawMessage:
    cost = {} if message.cost_usd is None else {"x-stepdown-cost-usd": f"{message.cost_usd:f}"}
    depth = {"x-stepdown-fallback-depth": str(message.fallback_depth)}
    return RawMessage(message=message, headers={"x-stepdown-job": message.job_id, **depth, **cost})


def _start(model: str, chain: Chain, task: str | None) -> str | None:
    start = called_in(chain.models, str(model))
    if start is not None or task in {*chain.starts, *chain.autos}:
        return start
    raise _wrong("model", f"{shown(model)} is not in MODEL_CHAIN ({', '.join(chain.models)})")


def _headers(given: object) -> dict[str, str]:
    if not given or type(given).__name__ in _LEFT_OUT:
        return {}
    items = given.items() if isinstance(given, Mapping) else ()
    headers = {str(name).lower(): value for name, value in items if type(value).__name__ not in _LEFT_OUT}
    if problem := headers_problem(headers if isinstance(given, Mapping) else given):
        raise _wrong("extra_headers", ": ".join(problem))
    return headers


def _request(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments and return plain JSON: frameworks pass the SDK's objects, and words for "not given"."""
    given = {name: value for name, value in given.items() if type(value).__name__ not in _LEFT_OUT}
    if given.pop("extra_query", None):
        raise _wrong("extra_query", "cannot be sent through the chain: leave it out")
    given.pop("timeout", None)
    extra = given.pop("extra_body", None) or {}
    try:
        text = json.dumps({**given, **extra}, default=_plain, ensure_ascii=False, allow_nan=False)
        request: dict[str, Any] = json.loads(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise _wrong("params", f"cannot be sent as JSON: {error}") from None
    if request.pop("stream", False):
        raise _wrong("stream", "an answer comes back whole: leave it out")
    if "model" in request:  # the job's price is that of a model of the chain
        raise _wrong("extra_body", "the chain chooses the model: leave it out")
    _check(request["max_tokens"], request["messages"])
    return request


def _check(max_tokens: object, messages: object) -> None:
    if type(max_tokens) is not int or max_tokens < 0:  # 0 fills the provider's cache, and generates nothing
        raise _wrong("max_tokens", f"{max_tokens!r} should be a whole number, 0 or more")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise _wrong("messages", "should be a list of messages, each with role and content")
    if not messages:
        raise _wrong("messages", "holds no message: give at least one")


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # a message or a block of the SDK's, sent back
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _wrong(field: str, problem: str) -> InputError:
    return InputError(problem, source=_HERE, field=field)
