"""Where in its tree a call lies, and which lies too deep."""

import pytest

from models.errors import TooDeepError
from models.job.call_tree import Above, CallTreePlace, place_in_tree


def _above(*tasks: str | None, root: str | None = None) -> list[Above]:
    """Make the way down to the last of some calls, job-1 the first."""
    tree = root or "job-1"
    return [
        Above(
            job_id=f"job-{depth}",
            task=task,
            branch=CallTreePlace(parent=root if depth == 1 else f"job-{depth - 1}", tree=tree, depth=depth),
        )
        for depth, task in enumerate(tasks, start=1)
    ]


def _branch(*above: Above, parent: str | None = None, depth: int | None = None, most: int = 5) -> CallTreePlace:
    return place_in_tree("me", task="summarize", parent=parent, depth=depth, above=above, most=most)


def test_a_call_without_a_parent_begins_a_tree_of_its_own() -> None:
    assert _branch() == CallTreePlace(parent=None, tree="me", depth=1)


def test_a_parent_that_is_no_job_is_the_run_at_the_top() -> None:
    assert _branch(parent="run-7") == CallTreePlace(parent="run-7", tree="run-7", depth=1)
    assert _branch(parent="run-7", depth=2) == CallTreePlace(parent="run-7", tree="run-7", depth=2)


def test_a_call_lies_one_deeper_than_its_parent_and_no_word_makes_it_less() -> None:
    above = _above("plan", None, root="run-7")
    assert _branch(*above, parent="job-2") == CallTreePlace(parent="job-2", tree="run-7", depth=3)
    assert _branch(*above, parent="job-2", depth=1).depth == 3
    assert _branch(*above, parent="job-2", depth=4).depth == 4


def test_what_lies_too_deep_is_refused_with_the_whole_path() -> None:
    with pytest.raises(TooDeepError) as caught:
        _branch(*_above("plan", None, "search"), parent="job-3", most=3)
    assert caught.value.path == ("job-1 (plan)", "job-2", "job-3 (search)", "this call (summarize)")
    assert str(caught.value) == (
        "depth 4 is more than MAX_DEPTH=3; nothing was asked: "
        "job-1 (plan) > job-2 > job-3 (search) > this call (summarize)"
    )


def test_a_path_begins_with_the_callers_run_and_tells_of_what_it_does_not_know() -> None:
    with pytest.raises(TooDeepError) as caught:
        _branch(parent="run-7", depth=6)
    assert caught.value.path == ("run-7", "5 more by the depth it gave", "this call (summarize)")
