"""Trees of calls: the call above each call, and the depth of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import TooDeepError

TREE = "tree:"  # the beginning of a tree's budget scope


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTreePlace:
    """A call's place in its tree: the call or run above it, if any, and its depth, from 1."""

    parent: str | None
    tree: str
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """A job of the ledger above a possible call, with its place; `is_in_tree` if the ledger has that place."""

    job_id: str
    task: str | None
    branch: CallTreePlace
    is_in_tree: bool = True


def tree_scope(tree: str) -> str:
    """Return the budget scope of a tree of calls."""
    return f"{TREE}{tree}"


def place_in_tree(
    job_id: str, *, task: str | None, parent: str | None, depth: int | None, above: Sequence[Above], most: int
) -> CallTreePlace:
    """Return the place of a new call below `parent`. `above` is the way down from the top of its tree to `parent`.

    If `above` is empty, `parent` is no job but the caller's own run, which names the tree. Without a parent the
    call is the first of a tree. A given `depth` counts if it exceeds the depth in the ledger.
    Raises TooDeepError if the depth is more than `most`.
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
