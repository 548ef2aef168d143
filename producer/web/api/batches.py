"""The provider's Message Batches API over our batches: create, list, retrieve, cancel, delete, results."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from reprlib import repr as shown
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.chain.capabilities import betas_of
from models.errors import KeyConflictError
from models.job.task_kinds import JobTerms
from models.outcome import Outcome, Refused, State
from models.reports.served_batches import ServedBatch
from producer.client import Batch
from producer.files.record_to_prompt import custom_id_problem
from producer.files.results import message_batch_lines
from producer.prompt.prompt import Prompt
from producer.submit.accept import Checked
from producer.web.http.context import caller_of, producer_of, settings_of, store_of
from producer.web.http.errors import Refusal
from producer.web.http.receive_body import LARGEST_BATCH, Body, received
from producer.web.http.request import KEY, TASK, cap_of, checked, cursor_of, headers_of, label, limit_of, page
from producer.web.http.scan import Scanned, parsed

_KIND = "batch"  # in the keys of message batches; no other batch is shown here
_PREFIX = "msgbatch_"
_ID = re.compile(rf"{_PREFIX}([0-9a-f]{{8}})([0-9a-f]{{4}})([0-9a-f]{{4}})([0-9a-f]{{4}})([0-9a-f]{{12}})")
_HOST = re.compile(r"[a-zA-Z0-9.:\[\]-]+")
_PART = 64 * 1024
_MISSING = 404
_SOON_S = 1.0


async def create(request: Request) -> Response:
    """Accept a message batch. The same content again is a new batch, except under its key or by REPEATED_BATCH."""
    async with received(request, LARGEST_BATCH) as body:
        batch_id = await body.read_by(_taken)
    return await run_in_threadpool(lambda: JSONResponse(_laid_out(request, _found(request, batch_id))))


def listing(request: Request) -> Response:
    """List the caller's batches, the newest first."""
    limit = limit_of(request)
    cursor = {name: _own_id(given, name) for name, given in cursor_of(request).items()}
    batches, has_more = store_of(request).served_batches.page(_scope(request), limit=limit, **cursor)
    return page([_laid_out(request, batch) for batch in batches], has_more=has_more)


def retrieve(request: Request) -> Response:
    """Return the present state of a batch."""
    return JSONResponse(_laid_out(request, _asked_for(request)))


def cancel(request: Request) -> Response:
    """Cancel the open jobs of a batch. The same batch goes on if sent again, and buys no answer twice."""
    batch = _asked_for(request)
    if batch.ended_at is None:
        store_of(request).job_actions.cancel(batch.batch_id)
    return retrieve(request)


def delete(request: Request) -> Response:
    """Delete an ended batch, with its prompts and answers. The ledger keeps the costs."""
    batch = _asked_for(request)
    if batch.ended_at is None:
        raise Refusal(400, f"{_id_of(batch.batch_id)} has not ended: cancel it first")
    store = store_of(request)
    store.served_batches.take_out(batch.batch_id)  # first: after a crash no caller sees a half-deleted batch
    while store.job_actions.purge(older_than_s=-_SOON_S, batch_id=batch.batch_id):
        pass
    return JSONResponse({"id": _id_of(batch.batch_id), "type": "message_batch_deleted"})


def results(request: Request) -> Response:
    """Stream the results of an ended batch."""
    batch = _asked_for(request)
    if batch.ended_at is None or batch.purged_at is not None:
        reason = "has not ended yet" if batch.ended_at is None else "had its results removed"
        raise Refusal(404, f"{_id_of(batch.batch_id)} {reason}: it has no results")
    lines = message_batch_lines(store_of(request).reports.answers(batch.batch_id))
    return StreamingResponse(in_parts(lines), media_type="application/x-jsonl")


def in_parts(lines: Iterator[str]) -> Iterator[str]:
    """Join lines to larger parts, since each part costs a round of the event loop."""
    part, size = list[str](), 0
    for line in lines:
        part.append(line)
        size += len(line)
        if size > _PART:
            yield "".join(part)
            part, size = [], 0
    yield "".join(part)


def _taken(request: Request, body: Body) -> str:
    """Queue the requests of a body. Return the id of their batch."""
    given, scanned = body.listed("requests")
    if extra := given.keys() - {"requests"}:
        raise Refusal(400, f"{min(extra)}: is no field of a message batch; it has requests")
    if not isinstance(given.get("requests"), list) or not scanned.ends:
        raise Refusal(400, f"requests: {shown(given.get('requests'))} should be a list of at least one request")
    models = producer_of(request).models
    headers = headers_of(request)
    return _submitted(lambda: _prompts(scanned, models, headers), request)


def _prompts(scanned: Scanned, models: tuple[str, ...], headers: Mapping[str, str]) -> Iterator[Prompt]:
    """Read request after request. A prompt that no model takes is marked as refused. Raises Refusal for all else."""
    places: dict[str, int] = {}
    for place, raw in enumerate(scanned.items()):
        where = f"requests[{place}]"
        made = _prompt(parsed(raw, where), where, models, headers)
        custom_id = str(made.id)
        if (first := places.setdefault(custom_id, place)) != place:
            raise Refusal(400, f"{where}.custom_id: {custom_id!r} is that of requests[{first}], too")
        yield made


def _prompt(each: object, where: str, models: tuple[str, ...], headers: Mapping[str, str]) -> Prompt:
    if not isinstance(each, dict) or each.keys() - {"custom_id", "params"}:
        raise Refusal(400, f"{where}: should be an object with custom_id and params, and nothing else")
    custom_id: Any = each.get("custom_id")
    if problem := custom_id_problem(custom_id):
        raise Refusal(400, f"{where}.custom_id: {problem}")
    try:
        return checked(each.get("params"), id=custom_id, models=models, where="params.", headers=headers)
    except Refusal as refusal:
        outcome = Outcome.MODEL_MISSING if refusal.status == _MISSING else Outcome.BAD_REQUEST
        error = str(refusal).replace("\0", "\\0")  # no database keeps a NUL
        return Prompt(id=custom_id, refused=Refused(outcome=outcome, error=error))


def _submitted(prompts: Callable[[], Iterator[Prompt]], request: Request) -> str:
    if label(request, KEY) is None and settings_of(request).repeated_batch == "same":
        return _once_a_day(prompts, request)
    with one_key_each(_KIND):
        batch = _submit(prompts(), request, caller_of(request).own_key(_KIND, label(request, KEY)))
    return batch.id if batch.is_new else _gone_on(batch.id, request)


@contextmanager
def one_key_each(called: str) -> Iterator[None]:
    """Raise Refusal for the key of another batch or request (`called`) of the same caller."""
    try:
        yield
    except KeyConflictError:
        problem = f"{KEY}: is that of another {called} of yours; send the same again, or choose another key"
        raise Refusal(409, problem, is_for_good=True) from None


def _submit(prompts: Iterable[Prompt], request: Request, key: str) -> Batch:
    settings, options = settings_of(request), own_options(request)
    kind = settings.kinds.get(options["task"] or "", JobTerms())
    chosen = kind.half_price is None and settings.served_batches == "half_price"
    own = {**options, "tags": caller_of(request).batch_tags, "half_price": chosen or None}
    return producer_of(request).submit(Checked(prompts), key=key, **own)


def own_options(request: Request) -> dict[str, Any]:
    """Return the options in the headers of a request. Raises Refusal."""
    return {"task": label(request, TASK), "max_cost_usd": cap_of(request)}


def _once_a_day(prompts: Callable[[], Iterator[Prompt]], request: Request) -> str:
    """Submit content that was not sent within a day, in any order. Else return the id of the earlier batch."""
    served = store_of(request).served_batches
    digest, today = _digest(prompts(), own_options(request)), served.today()
    keys = [caller_of(request).key(_KIND, digest, f"{day}") for day in (today, today - timedelta(days=1))]
    if same := served.same(keys):
        return _gone_on(same, request)
    try:
        return _submit(prompts(), request, keys[0]).id
    except KeyConflictError:  # sent twice at once, with the requests in another order
        if same := served.same(keys):
            return same
        raise


def _gone_on(batch_id: str, request: Request) -> str:
    """Queue the cancelled jobs of a batch again: a caller that sends the batch again wants the missing answers."""
    given = settings_of(request)
    times: dict[str, Any] = {"deadline_s": given.job_deadline_s, "live_from_s": given.live_from_s()}
    store_of(request).job_actions.retry(**times, states=[State.CANCELLED], batch_id=batch_id)
    return batch_id


def _digest(prompts: Iterable[Prompt], options: Mapping[str, str | None]) -> str:
    """Return the same digest for the same content in any order."""
    content = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for one in sorted(map(_digest_of, prompts)):
        content.update(one)
    return content.hexdigest()


def _digest_of(prompt: Prompt) -> bytes:
    asked = prompt.params if prompt.refused is None else prompt.refused.error
    content = [prompt.id, asked, *betas_of(prompt.headers or {})]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def _asked_for(request: Request) -> ServedBatch:
    return _found(request, _own_id(request.path_params["id"], None))


def _found(request: Request, batch_id: str) -> ServedBatch:
    batch = store_of(request).served_batches.one(batch_id, _scope(request))
    if batch is None:
        raise Refusal(404, f"no message batch of yours has the id {_id_of(batch_id)}")
    return batch


def _laid_out(request: Request, batch: ServedBatch) -> dict[str, Any]:
    """Return a batch as the provider does. All requests count as processing until the batch has ended."""
    is_ended = batch.ended_at is not None
    counts = {name: getattr(batch, name) if is_ended else 0 for name in ("succeeded", "errored", "canceled", "expired")}
    times = ("created_at", "expires_at", "ended_at")
    return {
        "id": _id_of(batch.batch_id),
        "type": "message_batch",
        "processing_status": "ended" if is_ended else "in_progress",
        "request_counts": {"processing": 0 if is_ended else batch.job_count, **counts},
        **{name: _time(getattr(batch, name)) for name in times},
        "cancel_initiated_at": _time(batch.cancelled_at),
        "archived_at": _time(batch.purged_at),
        "results_url": _results_url(request, batch) if is_ended and batch.purged_at is None else None,
    }


def _time(at: Any) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _results_url(request: Request, batch: ServedBatch) -> str:
    """Return the address of the results, at the host that the caller called."""
    path = f"/v1/messages/batches/{_id_of(batch.batch_id)}/results"
    host, scheme = request.headers.get("host", ""), request.headers.get("x-forwarded-proto", request.scope["scheme"])
    return f"{scheme}://{host}{path}" if _HOST.fullmatch(host) and scheme in {"http", "https"} else path


def _id_of(batch_id: str) -> str:
    return _PREFIX + batch_id.replace("-", "")


def _own_id(text: str, field: str | None) -> str:
    found = _ID.fullmatch(text)
    if found is not None:
        return "-".join(found.groups())
    if field is None:
        raise Refusal(404, f"no message batch has the id {shown(text)}")
    raise Refusal(400, f"{field}: {shown(text)} is no message batch's id")


def _scope(request: Request) -> str:
    return caller_of(request).key(_KIND, "")
