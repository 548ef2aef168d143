"""Requests in, replies out, purchases written: the simulator without its sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from producer.simulator.account.purchases import PurchaseLog
from producer.simulator.answer.answers import ANSWERS
from producer.simulator.answer.script import parse_script
from producer.simulator.request.versions import Head
from producer.simulator.simulation import Incoming, Reply, Simulation

if TYPE_CHECKING:
    from pathlib import Path

_ARTICLE = (
    "Summarize the following article:\n\nThe river rose by two metres on Monday night. Three bridges were "
    "closed before dawn. Nobody was hurt, the mayor said on Tuesday. Schools will open again on Thursday."
)


@dataclass
class _Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def _simulation(script: str = "", *, seed: int = 7, latency_s: float = 0.0, clock: _Clock | None = None) -> Simulation:
    return Simulation(
        script=parse_script(script), log=PurchaseLog(), clock=clock or _Clock(), seed=seed, latency_s=latency_s
    )


def _body(text: str = _ARTICLE, *, model: str = "claude-opus-4-7", **changes: object) -> bytes:
    body = {"model": model, "max_tokens": 300, "messages": [{"role": "user", "content": text}]}
    return json.dumps(body | changes).encode()


def _ask(simulation: Simulation, text: str = _ARTICLE, *, job: str | None = None, **changes: Any) -> Reply:
    return simulation.answer(Incoming(body=_body(text, **changes), job=job))


def _statuses(simulation: Simulation, count: int, **changes: Any) -> list[int]:
    return [_ask(simulation, f"{number} {_ARTICLE}", **changes).status for number in range(count)]


def test_a_summary_is_made_of_the_prompts_own_sentences() -> None:
    message = json.loads(_ask(_simulation()).body)
    (block,) = message["content"]
    assert "The river rose by two metres on Monday night." in block["text"]
    assert "Summarize" not in block["text"]
    assert (message["stop_reason"], message["model"]) == ("end_turn", "claude-opus-4-7")


def test_usage_is_a_quarter_of_the_characters() -> None:
    message = json.loads(_ask(_simulation()).body)
    assert message["usage"]["input_tokens"] == -(-len(_ARTICLE) // 4)
    assert message["usage"]["output_tokens"] == -(-len(message["content"][0]["text"]) // 4)


def test_an_answer_longer_than_max_tokens_is_cut_there() -> None:
    message = json.loads(_ask(_simulation(), max_tokens=3).body)
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 3)
    assert len(message["content"][0]["text"]) == 12


def test_the_order_of_arrival_changes_nothing_about_an_answer() -> None:
    texts = [f"{number} {_ARTICLE}" for number in range(20)]
    script = "[[rules]]\nshare = 0.5\nanswer = 529\n"
    forwards, backwards = _simulation(script, latency_s=0.2), _simulation(script, latency_s=0.2)
    there = {text: _ask(forwards, text) for text in texts}
    back = {text: _ask(backwards, text) for text in reversed(texts)}
    assert [(r.body, r.delay_s) for r in there.values()] == [(back[t].body, back[t].delay_s) for t in texts]
    assert {reply.status for reply in there.values()} == {200, 529}


def test_another_seed_answers_otherwise() -> None:
    assert _ask(_simulation(seed=7)).body != _ask(_simulation(seed=8)).body


def test_the_same_body_gets_the_same_text_under_a_new_id() -> None:
    simulation = _simulation()
    first, second = (json.loads(_ask(simulation).body) for _ in range(2))
    assert first["content"] == second["content"]
    assert first["id"] != second["id"]


def test_a_retry_draws_its_share_anew() -> None:
    simulation = _simulation("[[rules]]\nshare = 0.5\nanswer = 500\n")
    assert {_ask(simulation).status for _ in range(20)} == {200, 500}


def test_an_error_comes_back_long_before_an_answer_would() -> None:
    rules = "[[rules]]\nmodel = 'opus'\nanswer = 529\n[[rules]]\nmodel = 'haiku'\nanswer = 529\ndelay_s = 2\n"
    simulation = _simulation(f"{rules}[limits.sonnet-5]\nrequests_per_minute = 1\n", latency_s=10)
    answered = _ask(simulation, model="claude-sonnet-5")
    overloaded, late = _ask(simulation), _ask(simulation, model="claude-haiku-4-5")
    limited, wrong = _ask(simulation, model="claude-sonnet-5"), _ask(simulation, max_tokens=-1)
    assert (overloaded.status, limited.status, wrong.status) == (529, 429, 400)
    assert answered.delay_s > 1
    assert all(0 < reply.delay_s < 0.5 for reply in (overloaded, limited, wrong))
    assert 2 < late.delay_s < 2.5


def test_without_latency_an_error_takes_no_time() -> None:
    assert _ask(_simulation("[[rules]]\nanswer = 529\n")).delay_s == 0


def test_the_first_rule_that_fits_answers() -> None:
    simulation = _simulation("[[rules]]\nmodel = 'opus'\nanswer = 529\n[[rules]]\nanswer = 500\n")
    assert _ask(simulation).status == 529
    assert _ask(simulation, model="claude-sonnet-4-6").status == 500


def test_jobs_are_numbered_by_their_first_request() -> None:
    simulation = _simulation("[[rules]]\nfrom_job = 2\nto_job = 3\nanswer = 529\n")
    jobs = ["a", "b", "c", "d", "b", "a"]
    assert [_ask(simulation, job=job).status for job in jobs] == [200, 529, 529, 200, 529, 200]


def test_a_request_without_a_job_is_a_job_of_its_own() -> None:
    simulation = _simulation("[[rules]]\nfrom_job = 3\nanswer = 529\n")
    assert _statuses(simulation, 4) == [200, 200, 529, 529]


def test_a_rule_ends_after_its_times() -> None:
    assert _statuses(_simulation("[[rules]]\ntimes = 2\nanswer = 500\n"), 4) == [500, 500, 200, 200]


def test_a_rule_may_answer_each_job_so_many_times() -> None:
    simulation = _simulation("[[rules]]\ntimes_per_job = 1\nanswer = 499\n")
    assert [_ask(simulation, job=job).status for job in "abab"] == [499, 499, 200, 200]


def test_a_rule_has_its_seconds_since_the_script_was_set() -> None:
    clock = _Clock()
    simulation = _simulation("[[rules]]\nfrom_s = 10\nto_s = 20\nanswer = 529\n", clock=clock)
    seen = []
    for clock.now_s in (1_000.0, 1_010.0, 1_019.9, 1_020.0):
        seen.append(_ask(simulation).status)
    assert seen == [200, 529, 529, 200]


def test_a_rule_may_look_for_words_in_the_prompt() -> None:
    simulation = _simulation("[[rules]]\nprompt_contains = 'bridges'\nanswer = 400\n")
    assert _ask(simulation).status == 400
    assert _ask(simulation, "Hello there.").status == 200
    assert _ask(simulation, "Hello there.", system="All about bridges").status == 400


def test_a_new_script_counts_jobs_and_seconds_afresh() -> None:
    simulation = _simulation("[[rules]]\nanswer = 529\n")
    _ask(simulation, job="a")
    simulation.play(parse_script("[[rules]]\nto_job = 1\nanswer = 500\n"))
    assert [_ask(simulation, job=job).status for job in "ba"] == [500, 200]


def test_a_full_bucket_answers_429_with_retry_after() -> None:
    simulation = _simulation("[limits.opus-4]\nrequests_per_minute = 2\n")
    replies = [_ask(simulation) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].headers["retry-after"] == "30"
    assert replies[1].headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert _ask(simulation, model="claude-opus-4-6").status == 429
    assert _ask(simulation, model="claude-opus-5-5").status == 200


def test_cached_input_does_not_count_towards_the_input_limit() -> None:
    simulation = _simulation("[limits.opus-4]\ninput_tokens_per_minute = 10000\n")
    mark = {"type": "ephemeral"}
    system = [{"type": "text", "text": "x" * 40_000, "cache_control": mark}]
    assert [_ask(simulation, system=system).status for _ in range(5)] == [200] * 5


def test_a_prefix_is_billed_as_written_and_then_as_read() -> None:
    simulation = _simulation("[[rules]]\nanswer = 'text'\ntext = 'Four'\n")
    system = [{"type": "text", "text": "x" * 40_000, "cache_control": {"type": "ephemeral"}}]
    for _ in range(2):
        _ask(simulation, "abcd", system=system)
    write, read = (purchase["billed_nano_usd"] for purchase in simulation.log.read())
    assert write == 10_000 * 6_250 + 5_000 + 25_000
    assert read == 10_000 * 500 + 5_000 + 25_000


@pytest.mark.parametrize("word", sorted(ANSWERS))
def test_every_answer_is_billed_as_the_readme_says(word: str) -> None:
    extra = {
        "text": "text = 'x'",
        "slow": "delay_s = 1",
        "other_model": "served_model = 'claude-haiku-4-5'",
        "other_tier": "service_tier = 'batch'",
        "tool_use": "tool = 'look_up'",
        "raw": "status = 418",
    }
    simulation = _simulation(f"[[rules]]\nanswer = '{word}'\n{extra.get(word, '')}\n")
    reply = _ask(simulation)
    (purchase,) = simulation.log.read()
    is_free = word in ("error_200", "raw") or word[0] in "345"
    assert (purchase["billed_nano_usd"] == 0) == is_free
    assert (purchase["usage"] is None) == is_free
    assert purchase["answer"] == word
    assert purchase["status"] == (None if word in ("hang", "reset_before") else reply.status)


@pytest.mark.parametrize(
    ("rule", "is_billed"),
    [
        ("answer = 'refusal'", True),
        ("answer = 'refusal'\noutput = false", False),
        ("answer = 'hang'\nbilled = false", False),
        ("answer = 504\nbilled = true", True),
    ],
)
def test_a_rule_may_decide_what_is_billed(rule: str, is_billed: bool) -> None:
    simulation = _simulation(f"[[rules]]\n{rule}\n")
    _ask(simulation)
    assert (simulation.log.read()[0]["billed_nano_usd"] > 0) is is_billed


def test_another_model_tier_and_region_are_billed_as_what_they_are() -> None:
    billed = {}
    for rule in (
        "answer = 'text'",
        "answer = 'other_model'\nserved_model = 'claude-haiku-4-5'",
        "answer = 'other_tier'\nservice_tier = 'batch'",
        "answer = 'geo_us'",
        "answer = 'usage_x10'",
    ):
        text = "\ntext = 'abcdefgh'" if "'text'" in rule else ""
        simulation = _simulation(f"[[rules]]\n{rule}{text}\n")
        usage = json.loads(_ask(simulation).body)["usage"]
        (purchase,) = simulation.log.read()
        rates = (1_000, 5_000) if "haiku" in rule else (5_000, 25_000)
        plain = usage["input_tokens"] * rates[0] + usage["output_tokens"] * rates[1]
        billed[rule.split("'")[1]] = purchase["billed_nano_usd"] / plain
    assert billed == {"text": 1, "other_model": 1, "other_tier": 0.5, "geo_us": 1.1, "usage_x10": 1}


def test_web_searches_are_counted_and_billed() -> None:
    simulation = _simulation("[[rules]]\nanswer = 'text'\ntext = 'Four'\nweb_searches = 3\n")
    message = json.loads(_ask(simulation, "abcd").body)
    assert message["usage"]["server_tool_use"]["web_search_requests"] == 3
    assert simulation.log.read()[0]["billed_nano_usd"] == 30_000_000 + 5_000 + 25_000


def test_a_text_is_sent_exactly_nul_and_lone_surrogates_included() -> None:
    simulation = _simulation("[[rules]]\nanswer = 'text'\ntext = 'a\\u0000b\\ud800c'\n")
    body = _ask(simulation).body
    assert body.isascii()
    assert json.loads(body)["content"][0]["text"] == "a\0b\ud800c"


def test_a_prompt_with_a_lone_surrogate_is_refused() -> None:
    reply = _ask(_simulation(), "\ud800 is not a character", cache_control={"type": "ephemeral"})
    assert reply.status == 400
    assert b"not valid JSON: no low surrogate in string" in reply.body


def test_retry_after_is_written_without_an_exponent() -> None:
    for written, sent in (("1", "1"), ("0.5", "0.500"), ("3600000", "3600000")):
        simulation = _simulation(f"[[rules]]\nanswer = 429\nretry_after_s = {written}\n")
        assert _ask(simulation).headers["retry-after"] == sent


def test_refused_requests_are_logged_and_free() -> None:
    simulation = _simulation()
    _ask(simulation, model="claude-opus-9")
    simulation.answer(Incoming(body=b"{"))
    simulation.answer(Incoming(body=_body(), head=Head(has_key=False), job="j", attempt="2"))
    rows = simulation.log.read()
    assert [(row["status"], row["billed_nano_usd"], row["rule"]) for row in rows] == [
        (404, 0, None),
        (400, 0, None),
        (401, 0, None),
    ]
    assert [row["requested_model"] for row in rows] == ["claude-opus-9", None, None]
    assert (rows[2]["job"], rows[2]["attempt"], rows[2]["n"]) == ("j", "2", 3)


def test_a_log_is_numbered_on_after_a_restart_and_its_ids_stay_unique(tmp_path: Path) -> None:
    path = tmp_path / "purchases.jsonl"
    for _ in range(2):
        log = PurchaseLog(path)
        simulation = Simulation(script=parse_script(""), log=log, clock=_Clock())
        _ask(simulation)
        log.close()
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["n"] for row in rows] == [1, 2]
    assert len({row["request_id"] for row in rows}) == 2
    assert len({row["message_id"] for row in rows}) == 2
