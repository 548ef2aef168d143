"""Trees of calls: how deep they go, what they cost, and what they may cost; on both engines."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.ids import new_id
from tests.support.sites.direct_site import Caller, calling
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, one_test

_CAP_USD = Decimal("0.05")
_LONG = "[[rules]]\nanswer = 'max_tokens'"  # what a call costs is nearly its worst case
_ROWS = "SELECT * FROM v_call_tree WHERE tree = :tree ORDER BY path"


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Run one script for all tests of this file."""
    with calling(request, tmp_path_factory.mktemp("tree"), MAX_DEPTH="5", TREE_CAP_USD=str(_CAP_USD)) as caller:
        yield caller


@pytest.fixture
def caller(whole: Caller) -> Iterator[Caller]:
    """Lend it to one test."""
    with one_test(whole.plant):
        yield whole


def _called(caller: Caller, parent: str | None = None, **options: Any) -> str:
    got, _ = caller.call(parent=parent, max_tokens=50, **options)
    return str(got["job_id"])


def _rows(caller: Caller, tree: str, question: str = _ROWS) -> list[dict[str, Any]]:
    with caller.plant.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(question), {"tree": tree}).mappings()]


def _bought_usd(caller: Caller, *jobs: str) -> Decimal:
    billed = [purchase["billed_nano_usd"] for purchase in caller.plant.simulator.purchases() if purchase["job"] in jobs]
    return Decimal(sum(billed)) / 10**9


def _job_count(caller: Caller) -> int:
    with caller.plant.engine.connect() as connection:
        return int(connection.execute(text("SELECT COUNT(*) FROM jobs")).scalar_one())


def test_a_tree_of_depth_six_is_refused_before_any_call_with_its_path(caller: Caller) -> None:
    way: list[str] = []
    for task in ("plan", "search", "read", "extract", "summarize"):
        way.append(_called(caller, way[-1] if way else "run-6", task=task))
    before = _job_count(caller)
    got, purchases = caller.call(parent=way[-1], task="synthesize")
    assert (got["error"], purchases) == ("TooDeepError", [])
    tasks = ("plan", "search", "read", "extract", "summarize")
    named = [f"{job} ({task})" for job, task in zip(way, tasks, strict=True)]
    path = " > ".join(["run-6", *named, "this call (synthesize)"])
    assert got["message"] == f"depth 6 is more than MAX_DEPTH=5; nothing was asked: {path}"
    assert _job_count(caller) == before


def test_a_depth_that_is_given_is_enforced_too(caller: Caller) -> None:
    got, purchases = caller.call(parent="run-deep", depth=6)
    assert (got["error"], purchases) == ("TooDeepError", [])
    assert "run-deep > 5 more by the depth it gave > this call" in got["message"]
    job = caller.plant.producer.store.reports.job(_called(caller, "run-deep", depth=2))
    assert (job["parent"], job["tree"], job["call_depth"]) == ("run-deep", "run-deep", 2)


def test_a_tree_is_seen_with_its_paths_and_what_each_call_costs_with_all_below_it(caller: Caller) -> None:
    plan = _called(caller, "run-view", task="plan")
    left, right = _called(caller, plan, task="summarize"), _called(caller, plan)
    leaf = _called(caller, left)
    rows = {row["job_id"]: row for row in _rows(caller, "run-view")}
    assert {job: (row["depth"], row["path"], row["task"], row["calls_below"]) for job, row in rows.items()} == {
        plan: (1, f"run-view > {plan}", "plan", 3),
        left: (2, f"run-view > {plan} > {left}", "summarize", 1),
        leaf: (3, f"run-view > {plan} > {left} > {leaf}", None, 0),
        right: (2, f"run-view > {plan} > {right}", None, 0),
    }
    assert list(rows) == [plan, left, leaf, right]
    assert {(row["state"], row["attempts"], row["unknown_costs"]) for row in rows.values()} == {("succeeded", 1, 0)}
    assert (rows[plan]["model_used"], rows[left]["model_used"]) == (OPUS, HAIKU)
    below = {plan: (plan, left, leaf, right), left: (left, leaf), leaf: (leaf,), right: (right,)}
    for job, jobs in below.items():
        assert Decimal(int(rows[job]["cost_nano_usd"])) / 10**9 == _bought_usd(caller, job)
        assert Decimal(int(rows[job]["cost_with_below_nano_usd"])) / 10**9 == _bought_usd(caller, *jobs)
        assert float(rows[job]["cost_with_below_usd"]) == pytest.approx(float(_bought_usd(caller, *jobs)))


def test_what_a_call_below_cost_that_nobody_knows_is_counted_beside_the_sum(caller: Caller) -> None:
    top = _called(caller, "run-unknown")
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 'cut'")
    below = _called(caller, top)
    rows = {row["job_id"]: row for row in _rows(caller, "run-unknown")}
    assert (rows[top]["unknown_costs"], rows[top]["unknown_costs_with_below"]) == (0, 1)
    assert (rows[below]["unknown_costs"], rows[below]["attempts"]) == (1, 2)


def test_a_call_without_a_parent_is_a_tree_of_its_own_and_a_batchs_job_may_be_the_top_of_one(caller: Caller) -> None:
    alone = _called(caller)
    assert [(row["job_id"], row["depth"], row["path"]) for row in _rows(caller, alone)] == [(alone, 1, alone)]
    batch = caller.plant.submit("Summarize: bridges were closed.")
    (job,) = caller.plant.jobs(batch)
    assert _rows(caller, job["id"]) == []
    below = _called(caller, job["id"])
    rows = _rows(caller, job["id"])
    assert [(row["job_id"], row["depth"], row["batch_id"]) for row in rows] == [
        (job["id"], 1, batch.id),
        (below, 2, None),
    ]


def test_fifty_threads_never_pass_what_their_tree_may_cost(caller: Caller) -> None:
    caller.plant.simulator.set_script(_LONG)
    each = [{"prompt": f"Harbour {number}.", "max_tokens": 300, "parent": "run-threads"} for number in range(120)]
    got, purchases = caller.do("calls", each=each, threads=50)
    refused = [reported for reported in got["all"] if reported.get("error") == "TreeBudgetError"]
    answered = [reported for reported in got["all"] if "content" in reported]
    assert refused
    assert answered
    assert _CAP_USD / 2 < Decimal(sum(purchase["billed_nano_usd"] for purchase in purchases)) / 10**9 <= _CAP_USD
    message = "tree run-threads: over budget: this call may cost $0.00"
    assert all(reported["message"].startswith(message) for reported in refused)
    assert all("of the tree's cap of $0.05 (TREE_CAP_USD) $0" in reported["message"] for reported in refused)
    (budget,) = _rows(caller, "tree:run-threads", "SELECT * FROM v_budgets WHERE scope = :tree")
    assert (budget["day"], budget["cap_nano_usd"], budget["reserved_nano_usd"]) == ("", _CAP_USD * 10**9, 0)
    assert budget["spent_nano_usd"] == sum(purchase["billed_nano_usd"] for purchase in purchases)
    alone, _ = caller.call(max_tokens=300)
    assert alone["content"], "another tree has its own"


def test_what_its_tree_cannot_pay_is_told_though_every_model_is_out(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nanswer = 529")
    for _ in range(4):
        circuit_open, _ = caller.call(max_tokens=10)
    assert "circuit_open" in circuit_open["message"]
    dear, purchases = caller.call(parent="run-dear", max_tokens=30_000)
    assert (dear["error"], purchases) == ("TreeBudgetError", [])


@pytest.mark.parametrize(
    "wrong",
    [
        *({"parent": parent} for parent in ("", "x" * 201, "half \ud800", "nul \0", 7)),
        *({"depth": depth} for depth in (-1, 1.5, True)),
        {"task": " "},
    ],
)
def test_a_place_that_no_ledger_keeps_is_refused_before_anything_is_written(caller: Caller, wrong: Any) -> None:
    before = _job_count(caller)
    got, purchases = caller.call(**wrong)
    assert (got["error"], purchases, _job_count(caller)) == ("InputError", [], before)
    assert f"call_with_fallback: {next(iter(wrong))}: " in got["message"]


def test_a_parent_that_nobody_knows_is_a_run(caller: Caller) -> None:
    run = new_id()
    job = caller.plant.producer.store.reports.job(_called(caller, run))
    assert (job["parent"], job["tree"], job["call_depth"]) == (run, run, 1)
