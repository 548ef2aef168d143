"""What was asked and what was answered come back as they were, whatever characters they hold; on both engines."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.ledger.ledger import Ledger
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import accepted, claimed, closing, new_batch, new_job, opening, succeeded

# Every code point, lone surrogates and NUL included.
_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
_NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(_TEXT, _VALUES, max_size=3)
# One database for all examples: each writes rows of its own.
_ONE_DATABASE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_ONE_DATABASE
@given(params=_OBJECTS, columns=st.dictionaries(_TEXT, _TEXT, max_size=3), tags=st.dictionaries(_TEXT, _TEXT))
def test_any_prompt_is_given_to_the_worker_as_it_was_submitted(
    ledger: Ledger, reports: Reports, params: dict[str, Any], columns: dict[str, str], tags: dict[str, str]
) -> None:
    job = new_job(params=params, columns=columns)
    ledger.enqueue(new_batch(tags=tags), [job])
    assert claimed(ledger, job.id).params == params
    assert reports.job(job.id)["columns"] == columns


@_ONE_DATABASE
@given(content=_VALUES, words=_TEXT)
def test_any_answer_is_given_back_as_it_was_received(
    ledger: Ledger, reports: Reports, content: Any, words: str
) -> None:
    batch_id, (job_id,) = accepted(ledger)
    claim, only = claimed(ledger, job_id), opening()
    ledger.open_attempt(claim, only)
    message = {"content": [{"type": "text", "text": words}, {"type": "tool_use", "input": content}]}
    assert ledger.finish(claim, succeeded(message=message), closing(only.id))
    (answer,) = reports.answers(batch_id)
    assert answer.message == message
    assert answer.text == words


@pytest.mark.parametrize("text", ["\0", "\ud800", "\udfff\ud800", '"\\\r\n\u2028', "🚧" * 1000])
def test_characters_that_postgres_refuses_are_kept_all_the_same(ledger: Ledger, text: str) -> None:
    job = new_job(params={text: text})
    ledger.enqueue(new_batch(), [job])
    assert claimed(ledger, job.id).params == {text: text}
