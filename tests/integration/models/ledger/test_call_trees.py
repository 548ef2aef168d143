"""The ledger's part of trees of calls: the way down to one, their tops, and their budget; on both engines."""

from decimal import Decimal

import pytest
from sqlalchemy import Engine, select

from models.job.call_tree import Above, CallTreePlace
from models.job.values import Cap, OverCap
from models.ledger.call_trees import CallTrees
from models.ledger.ledger import Ledger
from models.schema.budget import BudgetRow
from tests.support.ledgers.job_values import accepted, claimed, new_job, opening

_CENT = Decimal("0.01")
_CAP = Cap(scope="tree:run-7", cap_usd=Decimal("0.105"))


@pytest.fixture
def trees(engine: Engine) -> CallTrees:
    """Read the trees of that database."""
    return CallTrees(engine)


def _called(ledger: Ledger, parent: str | None, *, depth: int, tree: str, task: str | None = None) -> Above:
    branch = CallTreePlace(parent=parent, tree=tree, depth=depth)
    job = new_job(task=task, branch=branch)
    ledger.open_single(job, deadline_s=60)
    return Above(job_id=job.id, task=task, branch=branch)


def test_the_way_down_to_a_call_begins_at_the_top_and_ends_with_itself(ledger: Ledger, trees: CallTrees) -> None:
    top = _called(ledger, "run-7", depth=1, tree="run-7", task="plan")
    left = _called(ledger, top.job_id, depth=2, tree="run-7")
    _called(ledger, top.job_id, depth=2, tree="run-7", task="beside it")
    leaf = _called(ledger, left.job_id, depth=4, tree="run-7", task="read")
    assert trees.above(leaf.job_id) == [top, left, leaf]
    assert trees.above("run-7") == trees.above(leaf.job_id[:-1]) == []


def test_a_batchs_job_becomes_the_top_of_a_tree_and_no_other_job_does(ledger: Ledger, trees: CallTrees) -> None:
    _, (job_id, other) = accepted(ledger, 2)
    whole = CallTreePlace(parent=None, tree=job_id, depth=1)
    assert trees.above(job_id) == [Above(job_id=job_id, task=None, branch=whole, is_in_tree=False)]
    assert claimed(ledger, other).tree is None
    for _ in range(2):
        trees.take_root(job_id)
        assert trees.above(job_id) == [Above(job_id=job_id, task=None, branch=whole)]
    assert claimed(ledger, job_id).tree == job_id, "it counts under the tree's cap from then on"
    leaf = _called(ledger, "run-7", depth=1, tree="run-7")
    trees.take_root(leaf.job_id)
    assert trees.above(leaf.job_id) == [leaf]


def test_a_trees_budget_is_made_by_its_first_call_and_is_for_good(ledger: Ledger, engine: Engine) -> None:
    _, job_ids = accepted(ledger, 2)
    first = opening(worst_case_usd=_CENT, caps=(_CAP,))
    assert ledger.open_attempt(claimed(ledger, job_ids[0]), first) is True
    tight = Cap(scope=_CAP.scope, cap_usd=Decimal("0.015"))
    over = ledger.open_attempt(claimed(ledger, job_ids[1]), opening(worst_case_usd=_CENT, caps=(tight,)))
    assert isinstance(over, OverCap)
    assert (over.cap_usd, over.reserved_usd) == (tight.cap_usd, _CENT)
    assert (over.may_fit_later, over.may_fit_tomorrow) == (True, False)
    with engine.connect() as connection:
        (row,) = connection.execute(select(BudgetRow.__table__).where(BudgetRow.scope == _CAP.scope)).mappings()
    assert (row["day"], row["cap_nano_usd"], row["reserved_nano_usd"]) == ("", _CAP.cap_usd, _CENT)
