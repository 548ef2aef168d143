"""Our own HTTP API, /api/v1: batches of prompts, their answers, a job's story, health. See `v1_openapi`."""

import json
from collections.abc import Iterator
from itertools import chain
from reprlib import repr as shown
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.errors import InputError, InputMistakes
from models.validation import validated
from producer.files.record_to_prompt import SourceOptions, plain
from producer.files.records import Record
from producer.files.results import own_lines
from producer.output.batch_lines import job_json, progress_json
from producer.prompt.check_prompt import check
from producer.prompt.prompt import Prompt
from producer.story.rows import job_record
from producer.story.story import story, story_json
from producer.submit.accept import Checked
from producer.web.api.batches import in_parts
from producer.web.api.v1_openapi import openapi
from producer.web.api.v1_values import MOST_ID, NEW_BATCH, whole
from producer.web.http.context import caller_of, producer_of, settings_of, store_of
from producer.web.http.errors import Refusal
from producer.web.http.receive_body import LARGEST_BATCH, Body, received
from producer.web.http.request import limit_of
from producer.web.http.scan import Scanned, parsed

_KIND = "own"
_ID_LENGTH = 36


async def create(request: Request) -> Response:
    """Accept prompts as a batch. The same prompts under the same key are the same batch."""
    async with received(request, LARGEST_BATCH) as body:
        return await body.read_by(_created)


def listing(request: Request) -> Response:
    """List the caller's batches, the newest first."""
    scope = caller_of(request).key(_KIND, "")
    batches, has_more = store_of(request).served_batches.page(scope, limit=limit_of(request))
    return JSONResponse({"batches": [_progress(request, one.batch_id) for one in batches], "has_more": has_more})


def retrieve(request: Request) -> Response:
    """Return the present state of a batch."""
    return JSONResponse(_progress(request, _batch_id(request)))


def results(request: Request) -> Response:
    """Stream the present state of every job, a line each."""
    lines = own_lines(store_of(request).reports.answers(_batch_id(request)))
    return StreamingResponse(in_parts(lines), media_type="application/x-ndjson")


def jobs(request: Request) -> Response:
    """Stream a line for each job: its id, its state, its cost."""
    lines = (f"{job_json(answer)}\n" for answer in store_of(request).reports.answers(_batch_id(request)))
    return StreamingResponse(in_parts(lines), media_type="application/x-ndjson")


def cancel(request: Request) -> Response:
    """Cancel the open jobs of a batch."""
    batch_id = _batch_id(request)
    cancelled, in_flight, items = store_of(request).job_actions.cancel(batch_id)
    counts = {"cancelled": cancelled, "in_flight": in_flight, "in_message_batches": items}
    return JSONResponse({"batch": batch_id, **counts})


def job(request: Request) -> Response:
    """Return a job's whole story: as rows, and as sentences."""
    job_id, producer = _whole_id(request, "job"), producer_of(request)
    if not producer.store.served_batches.has_job(job_id, caller_of(request).key()):
        raise _nothing("job", job_id)
    rows = job_record(job_id, producer.store.reports)
    return JSONResponse({**json.loads(story_json(rows)), "story": [*story(rows, producer.models)]})


def health(request: Request) -> Response:
    """Return the verdicts on the start models of the fleet's jobs of this UTC day. Only an operator may ask."""
    if not caller_of(request).operator:
        problem = "health is the whole fleet's: its operator gives your caller `operator = true` in CALLERS_FILE"
        raise Refusal(403, f"{problem}; your own figures are at /metrics")
    starts = [
        {"model": one.start_model, "jobs": one.jobs, "verdict": one.verdict, "message": one.in_words()}
        for one in store_of(request).health.today()
    ]
    return JSONResponse({"starts": starts})


def document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(openapi(producer_of(request).models))


def _created(request: Request, body: Body) -> Response:
    caller = caller_of(request)
    given, scanned = body.listed("prompts")
    # The prompts are no longer in the body: a single place stands for all of them.
    wanted, problems = validated(NEW_BATCH, {**given, "prompts": [None]} if scanned.ends else given)
    if wanted is None:
        raise Refusal(400, "\n".join(f"{field}: {problem}" for field, problem in problems))
    own: dict[str, Any] = {
        "key": caller.own_key(_KIND, wanted.key),
        "tags": {**_tags(wanted.tags or {}, request), **caller.batch_tags},
    }
    batch = producer_of(request).submit(
        Checked(_prompts(scanned)), **wanted.model_dump(exclude={"prompts", *own}), **own
    )
    answer = {**_progress(request, batch.id), "is_new": batch.is_new, "short_of_time": batch.short_of_time}
    return JSONResponse(answer, status_code=201 if batch.is_new else 200)


def _prompts(scanned: Scanned) -> Iterator[Prompt]:
    """Read prompt after prompt. Raises InputMistakes after the last prompt if any is wrong."""
    read = (_prompt(parsed(raw, f"prompts:{place}"), place) for place, raw in enumerate(scanned.items(), start=1))
    for made in read:
        if isinstance(made, InputError):
            others = (one for one in read if isinstance(one, InputError))
            raise InputMistakes.first(chain([made], others)) or made
        yield made


def _prompt(each: object, place: int) -> Prompt | InputError:
    """Read a prompt as a line of a JSONL file is read. A text alone is a prompt, too."""
    fields = {"prompt": each} if isinstance(each, str) else each
    if not isinstance(fields, dict):
        return InputError(f"{shown(each)} should be text, or an object", source="prompts", line=place)
    fields = {name: whole(value) if name in {"id", "max_tokens"} else value for name, value in fields.items()}
    if isinstance(fields.get("id"), int) and abs(fields["id"]) > MOST_ID:
        return InputError(f"is beyond {MOST_ID}; write it as text", source="prompts", line=place, field="id")
    prompt = plain(Record(line=place, fields=fields), SourceOptions(source="prompts"))
    if isinstance(prompt, InputError):
        return prompt
    return check(prompt, source="prompts", line=place) or prompt


def _tags(tags: dict[str, str], request: Request) -> dict[str, str]:
    settings = settings_of(request)
    if (foreign := caller_of(request).foreign_tag(tags, settings.callers, settings.tag_caps)) is not None:
        problem = "is not yours to set: this server gives it to its callers, or caps what it may cost; leave it out"
        raise Refusal(400, f"tags: {shown(foreign)} {problem}")
    return tags


def _progress(request: Request, batch_id: str) -> dict[str, Any]:
    progress: dict[str, Any] = json.loads(progress_json(store_of(request).reports.progress(batch_id)))
    return progress


def _batch_id(request: Request) -> str:
    batch_id = _whole_id(request, "batch")
    if not store_of(request).served_batches.has(batch_id, caller_of(request).key()):
        raise _nothing("batch", batch_id)
    return batch_id


def _whole_id(request: Request, kind: str) -> str:
    given: str = request.path_params["id"]
    if len(given) != _ID_LENGTH or not given.isascii() or not given.isprintable():
        raise _nothing(kind, given)
    return given


def _nothing(kind: str, given: str) -> Refusal:
    return Refusal(404, f"no {kind} of yours has the id {shown(given)}")
