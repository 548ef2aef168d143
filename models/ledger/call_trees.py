"""Reads the way down to a call in its tree, and makes a job the first of a tree."""

from typing import Any

from sqlalchemy import bindparam, literal, select, update
from sqlalchemy.orm import aliased

from models.database.engine import LedgerPart, reading, transaction
from models.job.call_tree import Above, CallTreePlace
from models.schema.job import Job

_FIRST_DEPTH = 1
_COLUMNS = ("id", "parent", "tree", "call_depth", "task")


def _way_up() -> Any:
    up = (
        select(*(getattr(Job, name) for name in _COLUMNS), literal(0).label("step"))
        .where(Job.id == bindparam("of_job"))
        .cte("up", recursive=True)
    )
    higher = aliased(Job)
    next_step = select(*(getattr(higher, name) for name in _COLUMNS), up.c.step + 1)
    up = up.union_all(next_step.join(up, higher.id == up.c.parent))
    return select(up).order_by(up.c.step.desc())


_WAY_DOWN = _way_up()
_TAKE_ROOT = (
    update(Job)
    .where(Job.id == bindparam("of_job"), Job.tree.is_(None))
    .values(tree=Job.id, call_depth=literal(_FIRST_DEPTH))
)


class CallTrees(LedgerPart):
    """The trees of calls. Raises LedgerError."""

    def above(self, parent: str) -> list[Above]:
        """Return the way down to the job `parent`, itself the last. Returns an empty list if no job has that id."""
        with reading(self._engine) as connection:
            rows = connection.execute(_WAY_DOWN, {"of_job": parent}).mappings().all()
        return [_above(row) for row in rows]

    def take_root(self, job_id: str) -> None:
        """Make a job the first of a tree if it is in no tree: a batch's job with calls below."""
        with transaction(self._engine) as connection:
            connection.execute(_TAKE_ROOT, {"of_job": job_id})


def _above(row: Any) -> Above:
    branch = CallTreePlace(
        parent=row["parent"],
        tree=row["tree"] or row["id"],
        depth=row["call_depth"] or _FIRST_DEPTH,
    )
    return Above(job_id=row["id"], task=row["task"], branch=branch, is_in_tree=row["tree"] is not None)
