"""Whatever stands in a ledger's rows, a job's story is told: it fits a terminal, and steers none."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.outcome import Outcome
from producer.output.terminal import terminal_text
from producer.story.reason_sentence import because
from tests.support.ledgers.story_rows import MODELS, Row, attempt, decision, good, job, lines, lost

_WORDS = st.sampled_from(["skip", "wait", "retry", "raise", "fallback", "climb", "park", "stop", "\x1b[2J"])
_OTHERS = (
    "circuit_open limited full paused key_paused retries_spent unfit over_budget over_today reserved same_limit waited"
)
_WHYS = [*Outcome, *f"{_OTHERS} dearer no_time worker_stopped".split()]
_OF_TURNSTILE = "to after_s wait_s kind for_s failures limit left needs per_minute in_flight cap retries requests"
_OF_CACHE = "held_by instead_of"
_NAMES = f"{_OF_TURNSTILE} {_OF_CACHE} because scope cap_usd gone_usd reserved_usd needs_usd max_tokens cut_at".split()
_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())
_FIGURES: st.SearchStrategy[Any] = st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=8) | st.sampled_from(
    ["", [], None]
)


@st.composite
def decisions(draw: st.DrawFn) -> Row:
    row = decision(draw(st.integers(0, 4)), draw(st.floats(-1e6, 1e6)), draw(_WORDS), "")
    return row | {
        "reason": draw(st.sampled_from(_WHYS) | st.text(max_size=12)),
        "model": draw(st.sampled_from(MODELS) | st.text(max_size=12)),
        "rung": draw(st.integers(0, 9)),
        "lease_token": draw(st.integers(1, 5)),
        "details": draw(_FIGURES),
    }


_ATTEMPTS = st.lists(st.sampled_from([attempt, good, lost]), max_size=4)


@given(
    rows=st.lists(decisions(), max_size=12),
    makes=_ATTEMPTS,
    outcomes=st.lists(st.sampled_from(_WHYS) | st.text(max_size=9), min_size=4, max_size=4),
    state=st.sampled_from(["succeeded", "failed", "waiting", "queued", "cancelled"]),
)
def test_any_decisions_are_told_in_lines_that_fit_and_steer_nothing(
    rows: list[Row], makes: list[Any], outcomes: list[str], state: str
) -> None:
    attempts = [make(number, outcome=outcomes[number - 1]) for number, make in enumerate(makes, start=1)]
    job_record = lines(job(state=state), attempts, rows)
    assert all(terminal_text(line) == line for line in job_record)
    assert all(len(line) <= 110 for line in job_record)
    assert sum(f"{number}. asked" in "\n".join(job_record) for number in range(1, 5)) == len(attempts)


@given(reason=st.text(), details=st.dictionaries(st.text(), _VALUES), it=st.sampled_from(["it", *MODELS]))
def test_a_word_that_nobody_knows_is_shown_as_it_is(reason: str, details: dict[str, Any], it: str) -> None:
    if reason not in _WHYS:
        assert because(reason, details, it) == reason


def test_every_word_of_the_walk_has_its_sentence() -> None:
    assert [reason for reason in _WHYS if because(reason, {}) == reason] == []
