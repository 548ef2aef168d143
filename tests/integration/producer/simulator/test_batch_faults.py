"""Each fault of calls about message batches, asked for by a script and seen through HTTP."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from producer.simulator.process import running_simulator
from tests.support.batch_calls import call, create, created_id, custom_ids_of, lines_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.simulator.process import RunningSimulator

_AT_ONCE = "[batches]\ntakes_s = 0\n"


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """Give each test message batches of its own."""
    with running_simulator(script=_AT_ONCE) as running:
        yield running


_ALL = [f"item-{number}" for number in range(4)]


@pytest.mark.parametrize(
    ("rule", "seen", "batches"),
    [
        ("answer = 'reset_before'", ConnectionResetError, 1),
        ("answer = 'reset_before'\naccepted = false", ConnectionResetError, 0),
        ("answer = 'cut'", None, 1),
        ("answer = 'hang'", TimeoutError, 1),
        ("answer = 500", 500, 0),
        ("answer = 500\naccepted = true", 500, 1),
        ("answer = '524_page'\naccepted = true", 524, 1),
        ("answer = 'malformed'", 200, 1),
        ("answer = 413", 413, 0),
        ("answer = 429\nretry_after_s = 7", 429, 0),
        ("answer = 401", 401, 0),
        ("answer = '429_spend_limit'", 429, 0),
        ("answer = '400_spend_limit'", 400, 0),
        ("answer = 402", 402, 0),
        ("answer = 529", 529, 0),
    ],
)
def test_a_create_fails_and_is_accepted_or_not(simulator: RunningSimulator, rule: str, seen: Any, batches: int) -> None:
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = 'create'\ntimes = 1\n{rule}")
    status, headers, body = create(simulator, patience_s=2 if seen is TimeoutError else 10)
    assert seen is None or status == seen, body
    assert headers.get("retry-after") == ("7" if "retry_after_s" in rule else None)
    assert len(simulator.batches()) == batches
    assert create(simulator)[0] == 200
    until(simulator)
    assert len(simulator.purchases()) == 4 * (batches + 1)


@pytest.mark.parametrize("answer", ["401", "404", "429", "'429_spend_limit'", "500", "503", "529", "'502_page'"])
@pytest.mark.parametrize("kind", ["retrieve", "list", "results", "cancel"])
def test_a_poll_fails_and_the_next_is_well(simulator: RunningSimulator, kind: str, answer: str) -> None:
    batch_id = created_id(simulator, 1)
    until(simulator)
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = '{kind}'\ntimes_per_batch = 1\nanswer = {answer}")
    path = {"retrieve": f"/{batch_id}", "list": "", "results": f"/{batch_id}/results", "cancel": f"/{batch_id}/cancel"}
    method = "POST" if kind == "cancel" else "GET"
    assert call(simulator, method, path[kind])[0] == int(answer.strip("'")[:3])
    assert call(simulator, method, path[kind])[0] == (400 if kind == "cancel" else 200)


def test_a_poll_hangs(simulator: RunningSimulator) -> None:
    batch_id = created_id(simulator)
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = 'retrieve'\ntimes = 1\nanswer = 'hang'")
    assert call(simulator, "GET", f"/{batch_id}", patience_s=0.5)[0] is TimeoutError
    assert call(simulator, "GET", f"/{batch_id}")[0] == 200


def test_404s_heal_and_the_list_lags(simulator: RunningSimulator) -> None:
    simulator.set_script(_AT_ONCE + "create_lag_s = 600\nlist_lag_s = 1200\nresults_lag_s = 1200\ntimes_faster = 1000")
    begun = time.monotonic()
    batch_id = created_id(simulator)
    assert call(simulator, "GET", f"/{batch_id}")[0] == 404
    assert json.loads(call(simulator, "GET")[2])["data"] == []
    until(simulator)
    healed = dict.fromkeys(("", f"/{batch_id}", f"/{batch_id}/results"), 0.0)
    while not all(healed.values()):
        assert time.monotonic() - begun < 20, healed
        for path in healed:
            status, _, body = call(simulator, "GET", path)
            if status == 200 and batch_id.encode() in body + path.encode() * bool(path):
                healed[path] = healed[path] or time.monotonic() - begun
        time.sleep(0.02)
    assert healed[f"/{batch_id}"] >= 0.6
    assert min(healed[""], healed[f"/{batch_id}/results"]) >= 1.2


def test_a_stray_of_one_create_appears_late(simulator: RunningSimulator) -> None:
    rule = "[[batch_rules]]\ncall = 'create'\nto_batch = 1\nanswer = 500\naccepted = true\nlist_lag_s = 1"
    simulator.set_script(f"{_AT_ONCE}{rule}")
    assert create(simulator)[0] == 500
    other = created_id(simulator)
    assert [batch["id"] for batch in json.loads(call(simulator, "GET")[2])["data"]] == [other]
    end = time.monotonic() + 20
    while len(json.loads(call(simulator, "GET")[2])["data"]) == 1:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_clock_of_the_provider_is_two_hours_ahead(simulator: RunningSimulator) -> None:
    simulator.set_script(_AT_ONCE + "skew_s = 7200")
    _, headers, body = create(simulator)
    for told in (datetime.fromisoformat(json.loads(body)["created_at"]), parsedate_to_datetime(headers["date"])):
        assert timedelta(minutes=119) < told - datetime.now(UTC) < timedelta(minutes=121)


@pytest.mark.parametrize(
    ("word", "custom_ids"),
    [
        ("line_missing", 3),
        ("line_doubled", 5),
        ("line_unknown", 5),
    ],
)
def test_results_have_a_wrong_set_of_custom_ids(simulator: RunningSimulator, word: str, custom_ids: int) -> None:
    batch_id = created_id(simulator)
    until(simulator)
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = 'results'\ntimes = 1\nanswer = '{word}'")
    wrong = custom_ids_of(lines_of(simulator, batch_id))
    assert len(wrong) == custom_ids
    assert wrong != _ALL
    assert ("unknown-item" in wrong) is (word == "line_unknown")
    assert custom_ids_of(lines_of(simulator, batch_id)) == _ALL


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("word", ["line_bad", "line_cut", "cut", "reset_after"])
def test_results_break_inside_a_line(simulator: RunningSimulator, word: str, count: int) -> None:
    batch_id = created_id(simulator, count)
    until(simulator)
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = 'results'\ntimes = 1\nanswer = '{word}'")
    status, _, body = call(simulator, "GET", f"/{batch_id}/results")
    assert (status == 200) is (word in ("line_bad", "line_cut"))
    if word != "reset_after":  # a reset may take the bytes that came before
        assert len([line for line in body.split(b"\n") if line and not line.endswith(b"}}}")]) == 1
    assert len(custom_ids_of(lines_of(simulator, batch_id))) == count


def test_results_are_huge(simulator: RunningSimulator) -> None:
    batch_id = created_id(simulator)
    until(simulator)
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = 'results'\nanswer = 'ok'\nline_bytes = 5_000_000")
    lines = lines_of(simulator, batch_id)
    assert [len(line) + 1 for line in lines if line] == [5_000_000] * 4
    assert custom_ids_of(lines) == _ALL


def test_all_or_some_items_expire(simulator: RunningSimulator) -> None:
    for share, expired in (("1.0", 4), ("0.5", 2)):
        simulator.set_script(f"{_AT_ONCE}expired = {share}\ntimes_faster = 1_000_000")
        batch_id = created_id(simulator)
        counts = until(simulator)["request_counts"]
        assert counts == {"processing": 0, "succeeded": 4 - expired, "errored": 0, "canceled": 0, "expired": expired}
        kinds = [json.loads(line)["result"]["type"] for line in lines_of(simulator, batch_id) if line]
        assert kinds.count("expired") == expired
    assert len(simulator.purchases()) == 2


def test_a_message_batch_never_ends_but_by_a_cancel(simulator: RunningSimulator) -> None:
    habits = "never_ends = true\ncancel_s = 0\nexpires_s = 0.001"
    simulator.set_script(f"[[batch_rules]]\ncall = 'create'\ntimes = 1\n{habits}\n{_AT_ONCE}")
    batch_id = created_id(simulator)
    created_id(simulator, 1)
    until(simulator)
    assert json.loads(call(simulator, "GET", f"/{batch_id}")[2])["processing_status"] == "in_progress"
    assert call(simulator, "POST", f"/{batch_id}/cancel")[0] == 200
    assert until(simulator, position=0)["request_counts"]["canceled"] == 4


def test_a_message_batch_ends_after_more_than_a_day(simulator: RunningSimulator) -> None:
    simulator.set_script("[batches]\ntakes_s = 93_600\nexpires_s = 100_000\ntimes_faster = 200_000")
    batch_id = created_id(simulator)
    assert until(simulator)["request_counts"]["succeeded"] == 4
    batch = json.loads(call(simulator, "GET", f"/{batch_id}")[2])
    assert batch["ended_at"] > batch["expires_at"]


def test_a_cancel_finishes_items_that_are_billed(simulator: RunningSimulator) -> None:
    simulator.set_script("[batches]\nnever_ends = true\ncancel_s = 0\nfinishes = 0.5")
    batch_id = created_id(simulator)
    call(simulator, "POST", f"/{batch_id}/cancel")
    counts = until(simulator)["request_counts"]
    assert (counts["succeeded"], counts["canceled"]) == (2, 2)
    assert [one["billed_nano_usd"] > 0 for one in simulator.purchases()] == [True, True]


def test_a_cancel_hangs_past_its_grace_and_every_item_answers(simulator: RunningSimulator) -> None:
    simulator.set_script("[batches]\nnever_ends = true\ncancel_s = 1\nfinishes = 1.0")
    batch_id = created_id(simulator)
    begun = time.monotonic()
    assert json.loads(call(simulator, "POST", f"/{batch_id}/cancel")[2])["processing_status"] == "canceling"
    until(simulator, "canceling")
    assert until(simulator)["request_counts"]["succeeded"] == 4
    assert time.monotonic() - begun >= 0.9
    assert len(simulator.purchases()) == 4


def test_a_cancel_is_lost_on_the_way_or_carried_out_unseen(simulator: RunningSimulator) -> None:
    for accepted in ("true", "false"):
        rule = f"[[batch_rules]]\ncall = 'cancel'\nanswer = 503\naccepted = {accepted}"
        simulator.set_script(f"{rule}\n[batches]\nnever_ends = true")
        batch_id = created_id(simulator)
        assert call(simulator, "POST", f"/{batch_id}/cancel")[0] == 503
        state = json.loads(call(simulator, "GET", f"/{batch_id}")[2])["processing_status"]
        assert state == ("canceling" if accepted == "true" else "in_progress")


@pytest.mark.parametrize("accepted", ["true", "false"])
def test_a_foreign_message_batch_of_the_same_size_stands_in_the_list(
    simulator: RunningSimulator, accepted: str
) -> None:
    rule = f"[[batch_rules]]\ncall = 'create'\nanswer = 500\nforeign = 1\naccepted = {accepted}"
    simulator.set_script(f"{_AT_ONCE}{rule}")
    assert create(simulator)[0] == 500
    until(simulator)
    listed = json.loads(call(simulator, "GET")[2])["data"]
    assert [sum(batch["request_counts"].values()) for batch in listed] == [4] * (1 + (accepted == "true"))
    ids = [custom_ids_of(lines_of(simulator, batch["id"])) for batch in listed]
    assert ids[-1] == [f"foreign-0-{number}" for number in range(4)]
    assert len(simulator.purchases()) == 4 * (accepted == "true")


def test_two_creates_of_one_size_are_doubtful(simulator: RunningSimulator) -> None:
    simulator.set_script(f"{_AT_ONCE}[[batch_rules]]\ncall = 'create'\nto_batch = 2\nanswer = 'reset_before'")
    assert [create(simulator)[0] for _ in range(2)] == [ConnectionResetError] * 2
    assert create(simulator)[0] == 200
    assert [batch["number"] for batch in simulator.batches()] == [1, 2, 3]
    assert len({batch["id"] for batch in simulator.batches()}) == 3


def test_the_server_names_a_results_url_elsewhere(simulator: RunningSimulator) -> None:
    simulator.set_script(_AT_ONCE + "results_host = 'https://elsewhere.example'")
    batch_id = created_id(simulator)
    until(simulator)
    url = json.loads(call(simulator, "GET", f"/{batch_id}")[2])["results_url"]
    assert url == f"https://elsewhere.example/v1/messages/batches/{batch_id}/results"
    assert custom_ids_of(lines_of(simulator, batch_id)) == _ALL
