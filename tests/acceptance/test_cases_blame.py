"""The blame for a status: one firewall page, a closed model, a disabled account, a filter, a wrong address."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.shared_cases import Case, running_case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Case]:
    """Run one worker for all cases of this file."""
    with running_case(tmp_path_factory.mktemp("blame"), valkey_url) as case:
        yield case


@pytest.fixture
def fixed(case: Case) -> Iterator[Path]:
    """Name the file whose presence mends the trouble of a case."""
    path = case.log.with_name("fixed")
    yield path
    path.unlink(missing_ok=True)


def test_one_firewall_page_fails_one_job_and_pauses_nobody(case: Case) -> None:
    batch = case.submitted(case.begin("waf_403") / "docs.csv")
    rows = case.ended(batch)
    blocked = rows.pop("sql")
    assert {row.text for row in rows.values()} == {"A summary."}
    assert str(blocked.error).startswith(
        "blocked: status 403 with a page from cloudflare: Attention Required! | Cloudflare; something between"
    )
    models = [call["model"] for call in case.calls() if "DROP TABLE" in call["text"]]
    assert len(models) == len(set(models)) == 2
    assert len(case.calls()) == 32
    assert blocked.cost_usd == 0


def test_a_model_that_is_closed_to_the_key_is_left_for_the_next(case: Case) -> None:
    rows = case.ended(case.submitted(case.begin("model_403") / "docs.csv"))
    assert {(row.model, row.fallback_depth) for row in rows.values()} == {("claude-sonnet-4-6", 1)}


def test_a_disabled_organization_fails_no_job_and_all_go_on_once_it_is_back(case: Case, fixed: Path) -> None:
    batch = case.submitted(case.begin("org_disabled_400") / "docs.csv")
    eventually(lambda: case.progress(batch).states == {"waiting": 20}, within_s=20, because="every job waits")
    assert {job["outcome"] for job in case.jobs(batch)} <= {"unauthorized", "key_paused"}
    fixed.touch()
    assert {row.text for row in case.ended(batch).values()} == {"A summary."}
    assert case.progress(batch).unknown_costs == 0


def test_an_output_filter_is_a_refusal_that_costs_nothing_and_climbs_as_one(case: Case) -> None:
    docs = case.begin("content_filter_400") / "docs.csv"
    failed = case.ended(case.submitted(docs))["b"]
    assert str(failed.error).startswith("refused: Output blocked by content filtering policy; change the prompt")
    rows = case.ended(case.submitted(docs, "--climb-on", "refused"))
    assert {row.text for row in rows.values()} == {"A summary of the text."}
    assert {name: row.model for name, row in rows.items()}["b"] == "claude-sonnet-4-6"


def test_a_4xx_that_passes_is_asked_once_more(case: Case) -> None:
    batch = case.submitted(case.begin("status_499_409") / "docs.jsonl")
    rows = case.ended(batch)
    assert {row.text for row in rows.values()} == {"A summary."}
    assert len(case.calls()) == 8
    outcomes = [one["outcome"] for one in case.attempts(batch)]
    assert outcomes == ["server_error", "answered"]  # on the same model, unless the fleet has repeated too much by then


def test_a_redirect_is_a_setting_that_costs_nothing_and_heals_by_itself(case: Case, fixed: Path) -> None:
    batch = case.submitted(case.begin("redirect_3xx") / "docs.csv", "--max-cost", "0.5")
    eventually(lambda: case.progress(batch).states == {"waiting": 20}, within_s=20, because="every job waits")
    redirected = [job for job in case.jobs(batch) if job["outcome"] == "redirected"]
    message = "redirected: status 301 sends every call on to https://127.0.0.1:9/v1/messages"
    assert {job["error"] for job in redirected} == {message}
    doctor = case.types("doctor", "--jsonl", expect=2)
    (api,) = [one for one in map(json.loads, doctor.splitlines()) if one["what"] == "api"]
    assert (api["verdict"], "ANTHROPIC_BASE_URL" in api["message"]) == ("fail", True)
    fixed.touch()
    assert {row.text for row in case.ended(batch).values()} == {"A summary."}
    assert case.progress(batch).unknown_costs == 0
