"""Our own HTTP API, /api/v1: batches of prompts, their answers, a job's story, health. `openapi` describes it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from reprlib import repr as shown
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.errors import InputError, InputMistakes
from producer.files.record_to_prompt import Recipe, plain
from producer.files.records import Record
from producer.files.results import own_lines
from producer.output.batch_lines import job_json, progress_json
from producer.prompt.check_prompt import MAX_ID_LENGTH, check
from producer.prompt.prompt import Prompt
from producer.story.rows import told_of
from producer.story.story import story, story_json
from producer.submit.accept import Checked
from producer.web.api.batches import in_parts
from producer.web.api.v1_openapi import MOST_ID, USD_ABOVE_0, openapi
from producer.web.http.bodies import LARGEST_BATCH, MOST_PROMPTS, Body, received
from producer.web.http.context import books_of, caller_of, producer_of, settings_of
from producer.web.http.errors import Refusal
from producer.web.http.labels import limit_of
from producer.web.http.scan import Scanned, parsed

_KIND = "own"
_FIELDS = ("prompts", "task", "name", "key", "tags", "max_cost_usd", "urgent", "weight")
_ID_LENGTH = 36


async def create(request: Request) -> Response:
    """Take prompts as one batch; the same under the same key is the same batch."""
    async with received(request, most_bytes=LARGEST_BATCH, caller=caller_of(request).name) as body:
        return await body.read_by(_created, request, body)


async def listing(request: Request) -> Response:
    """List the caller's batches, the newest first."""
    limit = limit_of(request.query_params.get("limit"))
    return await run_in_threadpool(_listed, request, limit)


async def retrieve(request: Request) -> Response:
    """Tell where a batch is."""
    return await run_in_threadpool(lambda: JSONResponse(_progress(request, _batch_id(request))))


async def results(request: Request) -> Response:
    """Stream every job as it is now, a line each."""
    batch_id = await run_in_threadpool(_batch_id, request)
    lines = own_lines(books_of(request).reports.answers(batch_id))
    return StreamingResponse(in_parts(lines), media_type="application/x-ndjson")


async def jobs(request: Request) -> Response:
    """Stream a line for each job: its id, where it is, what it cost."""
    batch_id = await run_in_threadpool(_batch_id, request)
    lines = (f"{job_json(answer)}\n" for answer in books_of(request).reports.answers(batch_id))
    return StreamingResponse(in_parts(lines), media_type="application/x-ndjson")


async def cancel(request: Request) -> Response:
    """Cancel what is open of a batch."""
    return await run_in_threadpool(_cancelled, request)


async def job(request: Request) -> Response:
    """Tell a job's whole story: as rows, and as sentences."""
    return await run_in_threadpool(_story, request)


async def health(request: Request) -> Response:
    """Tell how this UTC day's jobs of the fleet fare where they start: an operator alone is told."""
    if not caller_of(request).is_operator:
        said = "health is the whole fleet's: its operator gives your caller `operator = true` in CALLERS_FILE"
        raise Refusal(403, f"{said}; your own figures are at /metrics")
    return await run_in_threadpool(_health, request)


async def document(request: Request) -> Response:
    """Describe this API."""
    return JSONResponse(openapi(producer_of(request).models))


def _created(request: Request, body: Body) -> Response:
    caller = caller_of(request)
    producer = producer_of(request)
    given, scanned = body.listed("prompts")
    _require_known(given)
    if not isinstance(given.get("prompts"), list) or not scanned.ends:
        raise Refusal(400, f"prompts: {shown(given.get('prompts'))} should be a list of 1 to {MOST_PROMPTS} prompts")
    labels: dict[str, Any] = {name: given.get(name) for name in ("task", "name", "key")}
    for name, value in labels.items():
        if not (value is None or (isinstance(value, str) and value.strip() and len(value) <= MAX_ID_LENGTH)):
            said = f"should be text of at most {MAX_ID_LENGTH} characters, or be left out"
            raise Refusal(400, f"{name}: {shown(value)} {said}")
    key = labels.pop("key")
    batch = producer.submit(
        Checked(_prompts(scanned)),
        **labels,
        key=caller.own_key(_KIND, key),
        tags={**_tags(given.get("tags"), request), **caller.batch_tags},
        max_cost_usd=_cap(_whole(given.get("max_cost_usd"))),
        urgent=_flag(given.get("urgent", False)),
        weight=_whole(given.get("weight", 1)),
    )
    told = {**_progress(request, batch.id), "is_new": batch.is_new}
    return JSONResponse(told, status_code=201 if batch.is_new else 200)


def _require_known(given: Mapping[str, Any]) -> None:
    if unknown := given.keys() - set(_FIELDS):
        raise Refusal(400, f"{shown(min(unknown))}: is unknown; a batch has {', '.join(_FIELDS)}")


def _prompts(scanned: Scanned) -> Iterator[Prompt]:
    """Read prompt after prompt. Raises InputMistakes behind the last one, where any is wrong."""
    read = (_prompt(parsed(raw, f"prompts:{place}"), place) for place, raw in enumerate(scanned.items(), start=1))
    for made in read:
        if isinstance(made, InputError):
            others = (one for one in read if isinstance(one, InputError))
            raise InputMistakes.first(chain([made], others)) or made
        yield made


def _prompt(each: object, place: int) -> Prompt | InputError:
    """Read a prompt as a line of a JSONL file is read; a text alone is a prompt, too."""
    fields = {"prompt": each} if isinstance(each, str) else each
    if not isinstance(fields, dict):
        return InputError(f"{shown(each)} should be text, or an object", source="prompts", line=place)
    fields = {name: _whole(value) if name in {"id", "max_tokens"} else value for name, value in fields.items()}
    if isinstance(fields.get("id"), int) and abs(fields["id"]) > MOST_ID:
        return InputError(f"is beyond {MOST_ID}; write it as text", source="prompts", line=place, field="id")
    prompt = plain(Record(line=place, fields=fields), Recipe(source="prompts"))
    if isinstance(prompt, InputError):
        return prompt
    return check(prompt, source="prompts", line=place) or prompt


def _tags(given: object, request: Request) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Refusal(400, f"tags: {shown(given)} should be an object of texts")
    settings = settings_of(request)
    if (foreign := caller_of(request).foreign_tag(given, settings.callers, settings.tag_caps)) is not None:
        said = "is not yours to set: this server gives it to its callers, or caps what it may cost; leave it out"
        raise Refusal(400, f"tags: {shown(foreign)} {said}")
    return given


def _cap(given: object) -> Decimal | str | None:
    """Read USD; text or a whole number, so that no float comes near money."""
    if given is None or (isinstance(given, str) and re.fullmatch(USD_ABOVE_0, given)):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return Decimal(given)
    raise Refusal(400, f'max_cost_usd: {shown(given)} should be USD as text, such as "2.50"')


def _whole(given: Any) -> Any:
    """Take 54.0 for 54, as JSON does."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _flag(given: object) -> bool:
    if not isinstance(given, bool):
        raise Refusal(400, f"urgent: {shown(given)} should be true or false")
    return given


def _listed(request: Request, limit: int) -> Response:
    caller = caller_of(request)
    batches, has_more = books_of(request).served_batches.page(caller.key(_KIND, ""), limit=limit)
    return JSONResponse({"batches": [_progress(request, one.batch_id) for one in batches], "has_more": has_more})


def _progress(request: Request, batch_id: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(progress_json(books_of(request).reports.progress(batch_id)))
    return told


def _cancelled(request: Request) -> Response:
    batch_id = _batch_id(request)
    cancelled, in_flight = books_of(request).job_actions.cancel(batch_id)
    return JSONResponse({"batch": batch_id, "cancelled": cancelled, "in_flight": in_flight})


def _story(request: Request) -> Response:
    producer = producer_of(request)
    job_id, reports = _whole_id(request, "job"), producer.store.reports
    if not producer.store.served_batches.has_job(job_id, caller_of(request).key()):
        raise _nothing("job", job_id)
    told = told_of(job_id, reports)
    return JSONResponse({**json.loads(story_json(told)), "story": [*story(told, producer.models)]})


def _health(request: Request) -> Response:
    verdicts: Sequence[Any] = books_of(request).health.today()
    told = [
        {"model": one.start_model, "jobs": one.jobs, "verdict": one.verdict, "said": one.in_words()} for one in verdicts
    ]
    return JSONResponse({"starts": told})


def _batch_id(request: Request) -> str:
    batch_id = _whole_id(request, "batch")
    if not books_of(request).served_batches.has(batch_id, caller_of(request).key()):
        raise _nothing("batch", batch_id)
    return batch_id


def _whole_id(request: Request, kind: str) -> str:
    given: str = request.path_params["id"]
    if len(given) != _ID_LENGTH or not given.isascii() or not given.isprintable():
        raise _nothing(kind, given)
    return given


def _nothing(kind: str, given: str) -> Refusal:
    return Refusal(404, f"no {kind} of yours has the id {shown(given)}")
