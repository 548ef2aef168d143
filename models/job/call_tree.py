"""Trees of calls: below which call another one was made, and how deep it lies."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import TooDeepError

TREE = "tree:"  # what the scope of a tree's budget begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTreePlace:
    """A call's place in its tree: below which call or run, if any, and how deep, from 1."""

    parent: str | None
    tree: str
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """A call that others may be made below: a job of the ledger, with its own place; `is_in_tree`: as it is kept."""

    job_id: str
    task: str | None
    branch: CallTreePlace
    is_in_tree: bool = True


def tree_scope(tree: str) -> str:
    """Name the budget of a tree of calls."""
    return f"{TREE}{tree}"


def place_in_tree(
    job_id: str, *, task: str | None, parent: str | None, depth: int | None, above: Sequence[Above], most: int
) -> CallTreePlace:
    """Find the place of a new call below `parent`, whose own way down from the top of its tree is `above`.

    Nothing above: `parent` is no job but the run of whoever calls, and its tree is named after it; without a parent the
    call is a tree's first one. A `depth` that is given counts where it is more than the ledger knows of.
    Raises TooDeepError where that is more than `most`.
    """
    known = above[-1].branch.depth + 1 if above else 1
    deep = max(known, depth or 0)
    if deep > most:
        raise TooDeepError(deep, most=most, path=_path(task, parent, above, unknown=deep - known))
    tree = above[-1].branch.tree if above else parent or job_id
    return CallTreePlace(parent=parent, tree=tree, depth=deep)


def _path(task: str | None, parent: str | None, above: Sequence[Above], *, unknown: int) -> list[str]:
    root = above[0].branch.parent if above else parent
    calls = [_named(call.job_id, call.task) for call in above]
    gap = [f"{unknown} more by the depth it gave"] if unknown else []
    return [*([] if root is None else [root]), *calls, *gap, _named("this call", task)]


def _named(call: str, task: str | None) -> str:
    return f"{call} ({task})" if task else call
