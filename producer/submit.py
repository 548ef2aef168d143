"""What `stepdown submit` does beside Producer.submit: read the file, judge its lines, word the hints."""

import gc
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any

from models.errors import InputError, InputMistakes
from models.outcome import OnUnknown, State
from producer.documents import Documents, read_documents
from producer.files.load import Judge, Loaded, PromptFile, load, opened_prompts
from producer.files.shapes import Form

if TYPE_CHECKING:
    from models.kinds import JobTerms
    from models.settings import Settings
    from producer.client import Batch, Producer

_MOST_NAMED = 3
_MANY = 10_000  # prompts: from here on people want to know how fast it was


def read(source: str, form: Form, *, judge: Judge, skip_bad: bool) -> Loaded:
    """Read all prompts of a file or of stdin; bad lines are listed and left out where they may be skipped."""
    gc.disable()  # a file of prompts is kept whole; searching it for rubbish takes a third longer
    loaded = load(source, form, judge=judge)
    for note in loaded.notes:
        sys.stderr.write(f"{note}\n")
    if not skip_bad or not loaded.prompts:
        return loaded
    for mistake in loaded.mistakes:
        _tell_left_out(mistake)
    return Loaded(prompts=loaded.prompts, mistakes=[])


def read_either(
    source: str, form: Form, *, ways: dict[str, Any] | None, judge: Judge, skip_bad: bool
) -> Loaded | Documents:
    """Read prompts, or documents where they are to be mapped in some `ways`."""
    if ways is None:
        return read(source, form, judge=judge, skip_bad=skip_bad)
    return _documents(source, form, ways, skip_bad=skip_bad)


@contextmanager
def opened_either(
    source: str, form: Form, *, ways: dict[str, Any] | None, skip_bad: bool
) -> Iterator[PromptFile | Documents]:
    """Open prompts, or read documents where they are to be mapped in some `ways`."""
    if ways is None:
        with opened(source, form, skip_bad=skip_bad) as prompts:
            yield prompts
    else:
        yield _documents(source, form, ways, skip_bad=skip_bad)


@contextmanager
def opened(source: str, form: Form, *, skip_bad: bool) -> Iterator[PromptFile]:
    """Open a file of prompts, or stdin, for a block; bad lines are listed and left out where they may be skipped."""
    gc.disable()  # nothing that is read is part of a cycle, and searching for one takes time
    with ExitStack() as until_end:
        try:
            prompts = until_end.enter_context(opened_prompts(source, form))
        except InputError as mistake:
            raise InputMistakes([mistake]) from None
        yield replace(prompts, leave_out=_tell_left_out) if skip_bad else prompts


def submitted(producer: "Producer", read: PromptFile | Documents, *, task: str | None, **more: Any) -> "Batch":
    """Submit what was read."""
    if isinstance(read, PromptFile):
        return producer.submit(read, task=task, **more)
    return producer.summarize(read.documents, **read.ways_for(task), **more)


def _documents(source: str, form: Form, ways: dict[str, Any], *, skip_bad: bool) -> Documents:
    if form.template is not None:
        raise InputError("and --map are both the template; give one", source=source, field="--template")
    bound = {} if form.max_tokens is None else {"max_tokens": form.max_tokens}
    return Documents(documents=read_documents(source, form, skip_bad=skip_bad), ways=ways | bound)


def _tell_left_out(mistake: InputError) -> None:
    sys.stderr.write(f"left out: {mistake}\n")


def retried(producer: "Producer", batch: "Batch", settings: "Settings", terms: "JobTerms | None") -> int:
    """Queue the failed jobs of a batch that was known again, with a new deadline; returns how many."""
    if batch.is_new:
        return 0
    deadline_s = (terms and terms.deadline_s) or settings.job_deadline_s
    return producer.books.orders.retry(deadline_s=deadline_s, states=[State.FAILED], batch_id=batch.id)


def tags(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs."""
    read_tags: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{pair!r} should be NAME=VALUE", source="submit", field="--tag")
        read_tags[name] = value
    return read_tags


def choice(on_unknown: str | None) -> OnUnknown | None:
    """Read what a job chose for itself; None leaves it to HOLD_ABOVE_USD."""
    if on_unknown is None:
        return None
    try:
        return OnUnknown(on_unknown)
    except ValueError:
        said = f"{on_unknown!r} should be {' or '.join(OnUnknown)}"
        raise InputError(said, source="submit", field="--on-unknown") from None


def hints(
    batch: "Batch",
    key: str | None,
    *,
    task: str | None = None,
    starts: Collection[str] = (),
    unheeded: Collection[str] = (),
    notes: Collection[str] = (),
    retried: int | None = None,
) -> Iterator[str]:
    """Say what the id alone does not: that the batch was known, that its task was not, that it is not sent yet.

    `starts` are the tasks of TASK_STARTS; where there are none, a task is a label and no mistake. `unheeded` are the
    models that lines of another vendor named, `notes` tell how the file was read. So many failed jobs of a known batch
    were `retried`; None where nobody asked for that.
    """
    yield from notes
    if batch.accepted >= _MANY:
        rate = f"{batch.accepted / batch.took_s:,.0f}/s"
        yield f"{batch.accepted:,} prompts were read and accepted in {batch.took_s:.1f} s ({rate})"
    if not batch.is_new:
        again = f"its {retried} failed jobs are queued again" if retried else "nothing is bought again"
        none_failed = ", none of them has failed" if retried == 0 else ""
        yield f"the same prompts were submitted under {key!r} before{none_failed}: {again}"
    if unheeded:
        named = ", ".join(shown(name) for name in sorted(unheeded)[:_MOST_NAMED])
        more = f" and {len(unheeded) - _MOST_NAMED} more" if len(unheeded) > _MOST_NAMED else ""
        yield f"the lines name {named}{more}: not in MODEL_CHAIN, so not heeded; the chain says who answers"
    if task is not None and starts and task not in starts:
        yield f"TASK_STARTS has no task {task!r}, so these start on the primary; it has {', '.join(map(repr, starts))}"
    if batch.not_sent is not None:
        yield f"accepted and kept, but not sent yet ({batch.not_sent}); a worker will pick it up when it is there"
