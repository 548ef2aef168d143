"""Our own HTTP API with a real worker: batches, answers, a job's story, health; and who goes away meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from models.outcome import State
from models.settings import load_settings
from producer.client import Producer
from producer.web.api.v1_openapi import openapi
from tests.support.eventually import eventually
from tests.support.sites import worker_site
from tests.support.sites.app_client import asked, visiting
from tests.support.sites.worker_site import ENGINES, HAIKU, Plant, environment_of, running_plant, running_server

_OWN = "/api/v1/batches"
_TOKEN = "token-of-the-poor-0001"  # noqa: S105 - nobody's


@pytest.fixture(scope="module", params=ENGINES)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run a worker for all tests of this file."""
    folder = tmp_path_factory.mktemp("own")
    callers = folder / "callers.toml"
    callers.write_text(f'[poor]\ntoken = "{_TOKEN}"\nday_cap_usd = 0.000001\n', encoding="utf-8")
    with running_plant(request, folder) as plant:
        # The server's; its worker has none.
        yield replace(plant, variables={**plant.variables, "CALLERS_FILE": str(callers)})


def _visit(plant: Plant, look: Callable[[httpx2.AsyncClient], Awaitable[Any]]) -> Any:
    async def visit() -> Any:
        async with visiting(plant.producer, worker_site.settings_of({**plant.variables, "CALLERS_FILE": ""})) as client:
            return await look(client)

    return asyncio.run(visit())


def _get(plant: Plant, path: str) -> httpx2.Response:
    async def look(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.get(path)

    response: httpx2.Response = _visit(plant, look)
    return response


def _post(plant: Plant, path: str, body: Any = None) -> httpx2.Response:
    async def look(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post(path, json=body)

    response: httpx2.Response = _visit(plant, look)
    return response


def _ended(plant: Plant, batch: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        response: dict[str, Any] = _get(plant, f"{_OWN}/{batch}").json()
        return (
            response if response["jobs"] == response["succeeded"] + response["failed"] + response["cancelled"] else None
        )

    ended = eventually(look, within_s=30, because="the batch ends")
    assert ended is not None
    return ended


def _as_described(schema: str, value: object) -> None:
    described = {"$ref": f"#/components/schemas/{schema}", "components": openapi([HAIKU])["components"]}
    jsonschema_rs.validate(described, value)


def test_prompts_become_a_batch_whose_results_keep_their_columns(plant: Plant) -> None:
    prompts = ["Why is the sea salt?", {"id": "b", "prompt": "Explain tides.", "max_tokens": 30, "page": "7"}]
    made = _post(plant, _OWN, {"prompts": prompts, "task": "summarize", "name": "news", "tags": {"team": "media"}})
    assert (made.status_code, made.json()["is_new"]) == (201, True)
    _as_described("Batch", made.json())
    batch = made.json()["batch"]
    assert _ended(plant, batch)["succeeded"] == 2
    lines = [json.loads(line) for line in _get(plant, f"{_OWN}/{batch}/results").text.splitlines()]
    assert [(line["id"], line["model"], line.get("page")) for line in lines] == [("1", HAIKU, None), ("b", HAIKU, "7")]
    for line in lines:
        _as_described("Result", line)
    assert plant.producer.store.reports.batch(batch)["tags"] == {"team": "media", "caller": "local"}
    listed = _get(plant, f"{_OWN}?limit=1").json()["batches"]
    assert [one["batch"] for one in listed] == [batch]


def test_the_same_prompts_under_one_key_are_one_batch(plant: Plant) -> None:
    body = {"prompts": ["Explain rain."], "key": "rain/1"}
    first, again = _post(plant, _OWN, body), _post(plant, _OWN, body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["batch"] == again.json()["batch"]
    other = _post(plant, _OWN, {"prompts": ["Explain snow."], "key": "rain/1"})
    assert (other.status_code, other.json()["error"]["type"]) == (409, "invalid_request_error")
    _as_described("Error", other.json())


def test_a_jobs_story_is_told_in_rows_and_in_sentences(plant: Plant) -> None:
    batch = _post(plant, _OWN, {"prompts": ["Explain hail."]}).json()["batch"]
    _ended(plant, batch)
    line = json.loads(_get(plant, f"{_OWN}/{batch}/jobs").text)
    _as_described("JobLine", line)
    response = _get(plant, f"/api/v1/jobs/{line['job']}").json()
    _as_described("Job", response)
    assert (response["state"], len(response["attempts"])) == ("succeeded", 1)
    assert any("asked" in line for line in response["story"])
    assert "Explain hail." not in json.dumps(response)
    assert _get(plant, f"/api/v1/jobs/{batch}").status_code == 404


def test_what_cannot_be_asked_is_told_with_its_place(plant: Plant) -> None:
    refused = _post(plant, _OWN, {"prompts": ["fine", {"prompt": "x", "temperature": 1}, " "]})
    assert refused.status_code == 400
    response = refused.json()["error"]["message"]
    assert "prompts:2: temperature" in response
    assert "prompts:3: prompt" in response


def test_a_batch_is_cancelled(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "glacier"\nanswer = "ok"\ndelay_s = 3.0')
    batch = _post(plant, _OWN, {"prompts": [f"glacier {number}" for number in range(3)]}).json()["batch"]
    assert _post(plant, f"{_OWN}/{batch}/cancel").json().items() >= {"cancelled": 3, "in_message_batches": 0}.items()
    assert _ended(plant, batch)["cancelled"] == 3


def test_ledger_and_broker_that_answer_are_healthy(plant: Plant) -> None:
    healthy = _get(plant, "/healthz")
    assert (healthy.status_code, healthy.json()) == (200, {"ledger": "ok", "broker": "ok"})
    assert "starts" in _get(plant, "/api/v1/health").json()


def test_a_broker_that_is_not_there_is_not_healthy(plant: Plant, tmp_path: Path) -> None:
    settings = worker_site.settings_of(
        {**plant.variables, "CALLERS_FILE": "", "REDIS_URL": "", "STATE_DIR": str(tmp_path)}
    )

    async def look() -> httpx2.Response:
        async with visiting(plant.producer, settings) as client:
            return await client.get("/healthz")

    sick = asyncio.run(look())
    assert (sick.status_code, sick.json()) == (503, {"ledger": "ok", "broker": "does not answer"})


def test_prometheus_reads_jobs_and_cost(plant: Plant) -> None:
    _ended(plant, _post(plant, _OWN, {"prompts": ["Explain fog."]}).json()["batch"])
    lines = _get(plant, "/metrics").text.splitlines()
    details = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert int(details['stepdown_jobs_ended_today{state="succeeded"}']) >= 1
    assert 'stepdown_jobs{state="queued"}' in details
    assert details['stepdown_jobs_half_price{stage="under_way"}'] == "0"
    assert float(details['stepdown_cost_usd_today{model="claude-opus-4-7"}']) > 0


def test_a_callers_day_cap_holds_for_what_it_asks(plant: Plant) -> None:
    async def ask() -> httpx2.Response:
        headers = {"x-api-key": _TOKEN}
        async with visiting(plant.producer, worker_site.settings_of(plant.variables), headers=headers) as client:
            return await client.post("/v1/messages", json=asked())

    over = asyncio.run(ask())
    assert (over.status_code, over.json()["error"]["type"]) == (402, "billing_error")
    assert "tag:caller=poor" in over.json()["error"]["message"]


def _late_stream(plant: Plant, text: str, **changes: Any) -> list[str]:
    """Ask for a stream whose answer takes longer than the server is silent; returns the kinds of its events."""

    async def ask() -> httpx2.Response:
        settings = worker_site.settings_of({**plant.variables, "CALLERS_FILE": ""})
        async with visiting(plant.producer, settings, silent_s=0.05) as client:
            return await client.post("/v1/messages", json=asked(text, stream=True, **changes))

    late = asyncio.run(ask())
    assert (late.status_code, late.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return [line.removeprefix("event: ") for line in late.text.splitlines() if line.startswith("event: ")]


def test_a_stream_is_kept_alive_until_its_answer_is_there(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "moraine"\nanswer = "ok"\ndelay_s = 0.5')
    kinds = _late_stream(plant, "Explain moraine.")
    assert kinds.count("ping") > 1
    assert (kinds[0], kinds[-1], "message_start" in kinds) == ("ping", "message_stop", True)


def test_a_stream_that_fails_late_ends_with_an_error_event(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "esker"\nanswer = 400\ndelay_s = 0.5')
    assert set(_late_stream(plant, "Explain esker.")) == {"ping", "error"}


def test_who_goes_away_before_the_job_has_begun_has_it_cancelled(sqlite_url: str, tmp_path: Path) -> None:
    environment = environment_of({"DATABASE_URL": sqlite_url, "STATE_DIR": str(tmp_path)})  # nobody works there
    with (
        running_server(environment, tmp_path / "log") as url,
        Producer(worker_site.settings_of(environment)) as producer,
    ):
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{url}/v1/messages", json=asked(), timeout=1)
        eventually(
            lambda: [one.states for one in producer.store.reports.batches(limit=2)] == [{State.CANCELLED: 1}],
            within_s=10,
            because="the job that nobody waits for is cancelled",
        )


def test_a_server_that_stops_says_so_to_who_waits_and_cancels_what_has_not_begun(
    sqlite_url: str, tmp_path: Path
) -> None:
    environment = environment_of({"DATABASE_URL": sqlite_url, "STATE_DIR": str(tmp_path), "DRAIN_S": "0.1"})
    with Producer(worker_site.settings_of(environment)) as producer, ThreadPoolExecutor() as pool:
        with running_server(environment, tmp_path / "log") as url:
            response = pool.submit(httpx2.post, f"{url}/v1/messages", json=asked(), timeout=30)
            eventually(lambda: producer.store.reports.batches(limit=1), within_s=10, because="it is accepted")
        assert (response.result().status_code, response.result().headers["x-should-retry"]) == (503, "false")
        assert [one.states for one in producer.store.reports.batches(limit=2)] == [{State.CANCELLED: 1}]
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_message_with_a_key_outlives_its_server_and_is_answered_by_the_next(plant: Plant, tmp_path: Path) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "tephra"\nanswer = "ok"\ndelay_s = 1.5')
    before = len(plant.simulator.purchases())
    variables = {**plant.variables, "CALLERS_FILE": "", "DRAIN_S": "0.1"}

    def ask(url: str) -> httpx2.Response:
        return httpx2.post(f"{url}/v1/messages", json=asked("tephra"), headers={"idempotency-key": "t/1"}, timeout=30)

    with ThreadPoolExecutor() as pool:
        with running_server(variables, tmp_path / "log") as url:
            response = pool.submit(ask, url)
            eventually(
                lambda: len(plant.simulator.purchases()) > before, within_s=10, because="it is asked of the model"
            )
        assert response.result().status_code == 503
        assert "x-should-retry" not in response.result().headers
    with running_server(variables, tmp_path / "log.2") as url:
        answered = ask(url)
    assert (answered.status_code, answered.json()["type"]) == (200, "message")
    assert len(plant.simulator.purchases()) == before + 1


def test_a_message_with_a_key_is_not_given_up_with_the_first_who_asked(plant: Plant) -> None:
    async def ask(client: httpx2.AsyncClient, patience_s: str) -> int:
        headers = {"idempotency-key": "tuff/2", "x-stainless-timeout": patience_s}
        return (await client.post("/v1/messages", json=asked("Explain tuff."), headers=headers)).status_code

    plant.simulator.set_script('[[rules]]\nprompt_contains = "tuff"\nanswer = 429\nretry_after_s = 2\ntimes = 3')
    assert _visit(plant, lambda client: ask(client, "1")) in {429, 529}  # 529: it is just being asked
    assert _visit(plant, lambda client: ask(client, "20")) == 200


def test_a_message_whose_answer_is_purged_is_told_so_under_its_key(plant: Plant) -> None:
    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post("/v1/messages", json=asked("Explain loess."), headers={"idempotency-key": "loess/1"})

    job_id = _visit(plant, ask).headers["x-stepdown-job"]
    batch_id = plant.producer.store.reports.job(job_id)["batch_id"]
    assert plant.producer.store.job_actions.purge(older_than_s=-1, batch_id=batch_id) == 1
    gone = _visit(plant, ask)
    assert (gone.status_code, gone.headers["x-should-retry"]) == (404, "false")
    assert "the answer is purged" in gone.json()["error"]["message"]


def test_who_goes_away_and_has_a_key_finds_the_job_as_it_was(sqlite_url: str, tmp_path: Path) -> None:
    settings = load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path)

    async def go_away(producer: Producer) -> None:
        headers = {"idempotency-key": "tuff/1", "x-stainless-timeout": "1"}
        async with visiting(producer, settings, headers=headers) as client:
            late = await client.post("/v1/messages", json=asked())
            assert (late.status_code, "the same job" in late.text, "cancelled" in late.text) == (529, True, False)
            assert (late.headers["x-should-retry"], late.headers["retry-after"]) == ("true", "5")

    with Producer(settings) as producer:
        asyncio.run(go_away(producer))
        asyncio.run(go_away(producer))
        assert [one.states for one in producer.store.reports.batches(limit=2)] == [{State.QUEUED: 1}]


def test_a_patience_that_ends_is_answered_before_and_new_work_may_be_sent_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    settings = load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path)

    async def wait(producer: Producer) -> httpx2.Response:
        async with visiting(producer, settings, headers={"x-stainless-timeout": "0.5"}) as client:
            return await client.post("/v1/messages", json=asked())

    with Producer(settings) as producer:
        late = asyncio.run(wait(producer))
        assert [one.states for one in producer.store.reports.batches(limit=2)] == [{State.CANCELLED: 1}]
    assert (late.status_code, late.json()["error"]["type"]) == (529, "overloaded_error")
    assert (late.headers["x-should-retry"], late.headers["retry-after"]) == ("true", "5")
