"""The script language: what it reads, and what it says about a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.simulator.answer.fields import ScriptError
from producer.simulator.answer.script import parse_script

_SCRIPTS = sorted(Path(__file__).parents[4].joinpath("producer", "simulator", "scripts").glob("*.toml"))


def _rule(body: str) -> str:
    return f"[[rules]]\n{body}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_rule("model = 'opus'"), "s.toml: rule 1: field 'answer': missing; right is one of 400, "),
        (_rule("answer = 'okay'"), "s.toml: rule 1: field 'answer': 'okay' is unknown; right is one of "),
        (_rule("answer = 418"), "rule 1: field 'answer': '418' is unknown"),
        (_rule("answer = true"), "rule 1: field 'answer': 'True' is unknown"),
        (_rule("answer = 'ok'") + _rule("answer = 'ok'\nshare = 1.5"), "s.toml: rule 2: field 'share': 1.5"),
        (_rule("answer = 'ok'\nshare = 1.5"), "right is a number from 0 to 1"),
        (_rule("answer = 'ok'\nshare = nan"), "right is a number from 0 to 1"),
        (_rule("answer = 'ok'\nmodle = 'opus'"), "field 'modle' of answer 'ok': unknown; did you mean 'model'?"),
        (_rule("answer = 'ok'\nmodel = 'opsu'"), "no model matches 'opsu'; right is (a part of) one of claude-"),
        (_rule("answer = 'ok'\nmodel = ''"), "field 'model': '' is wrong; right is a string, not empty"),
        (_rule("answer = 'ok'\nfrom_job = 0"), "field 'from_job': 0 is wrong; right is a whole number, 1 or more"),
        (_rule("answer = 'ok'\nfrom_job = true"), "field 'from_job': True is wrong"),
        (_rule("answer = 'ok'\nfrom_job = 9\nto_job = 8"), "field 'to_job': 8 is before from_job; right is 9 or"),
        (_rule("answer = 'ok'\nfrom_s = 9\nto_s = 8.5"), "field 'to_s': 8.5 is before from_s; right is 9 or more"),
        (_rule("answer = 'ok'\ntimes = 0"), "field 'times': 0 is wrong; right is a whole number, 1 or more"),
        (_rule("answer = 'slow'"), "field 'delay_s': missing; answer 'slow' needs seconds, 0 or more"),
        (_rule("answer = 'text'"), "field 'text': missing; answer 'text' needs a string"),
        (_rule("answer = 'drip'\nevery_s = 0"), "field 'every_s': 0 is wrong; right is seconds, more than 0"),
        (_rule("answer = 'other_model'\nserved_model = 'gpt'"), "field 'served_model': 'gpt' is unknown; right is"),
        (_rule("answer = 'other_tier'\nservice_tier = 'x'"), "right is 'priority' or 'batch'"),
        (_rule("answer = 529\ntext = 'x'"), "field 'text': answer '529' has no use for it; it takes billed, delay_s"),
        (_rule("answer = 401\nbilled = true"), "field 'billed': answer '401' has no use for it"),
        ("rules = 3", "s.toml: field 'rules': right is a list of [[rules]] tables"),
        ("limits = 3", "s.toml: field 'limits': right is [limits.<group>]"),
        ("[limits.opus]\nrequests_per_minute = 1", "limits.opus: unknown model group; right is one of all, "),
        ("[limits.opus-4]\nrequests_per_minute = 0.5", "right is a whole number, 1 or more"),
        ("[limits.opus-4]\nrequest_per_minute = 5", "did you mean 'requests_per_minute'?"),
        ("[limits]\nopus-4 = 5", "s.toml: limits.opus-4: right is a table with requests_per_minute"),
        ("[noise]\nokay = 0.1", "noise: field 'okay': no such answer; right is one of 400, "),
        ("[noise]\ntext = 0.1", "noise: field 'text': no such answer"),
        ("[noise]\n500 = 2", "noise: field '500': 2 is wrong; right is a number from 0 to 1"),
        ("[noise]\n500 = 0.6\n529 = 0.6", "noise: the shares add up to more than 1"),
        ("[noise]\n429 = 0.1\nretry_after_s = -1", "noise: field 'retry_after_s': -1 is wrong"),
        ("noise = 3", "noise: right is a table of answers and their shares"),
        ("retry_after_form = 'days'", "right is 'seconds' or 'date' or 'ms' or 'none'"),
        ("tokens_per_s = 0", "right is tokens per second, more than 0"),
        (_rule("answer = 'raw'"), "field 'status': missing; answer 'raw' needs a status from 200 to 599"),
        (_rule("answer = 'raw'\nstatus = 204"), "field 'status': 204 is wrong"),
        (_rule("answer = 'raw'\nstatus = 400\nheaders = {a = 1}"), "right is a table of strings"),
        (_rule("answer = 'ok'\nusage = '[1]'"), "right is a table, or the JSON of an object"),
        (_rule("answer = 'ok'\nusage = {input_tokens = 'many'}"), "right is a table, or the JSON of an object, with"),
        (_rule("answer = 'ok'\nusage = {iterations = [{}]}"), "right is a table, or the JSON of an object, with"),
        (_rule("answer = 'ok'\nmessage = 'x'"), "field 'message': 'x' is wrong; right is a table, or the JSON"),
        (_rule("answer = 301\nbody = 'x'"), "answer '301' has no use for it; it takes delay_s, location"),
        ("[rule]", "s.toml: field 'rule': unknown; did you mean 'rules'?"),
        ("[[rules]", "s.toml: not valid TOML: "),
    ],
)
def test_a_mistake_is_named_with_file_rule_field_and_what_is_right(text: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, source="s.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("s.toml: ")


def test_an_answer_may_be_written_as_a_number() -> None:
    assert parse_script(_rule("answer = 529")).rules[0].answer.word == "529"


def test_a_full_model_name_means_that_model_only() -> None:
    exact, part = parse_script(
        _rule("model = 'claude-opus-5'\nanswer = 'ok'") + _rule("model = 'opus-5'\nanswer = 'ok'")
    ).rules
    assert exact.models == {"claude-opus-5"}
    assert part.models == {"claude-opus-5", "claude-opus-5-5"}


def test_an_alias_means_the_dated_model() -> None:
    (rule,) = parse_script(_rule("model = 'claude-haiku-4-5'\nanswer = 'ok'")).rules
    assert rule.models == {"claude-haiku-4-5-20251001"}


def test_a_text_may_hold_nul_and_lone_surrogates() -> None:
    (rule,) = parse_script(_rule(r"""answer = 'text'""" + "\n" + r"""text = 'a\u0000b\ud800"c'""")).rules
    assert rule.text == 'a\0b\ud800"c'


def test_limits_are_read_by_model_group() -> None:
    limits = parse_script("[limits.sonnet-4]\ninput_tokens_per_minute = 30000").limits
    assert limits["sonnet-4"].input_tokens_per_minute == 30_000
    assert limits["sonnet-4"].requests_per_minute is None


@pytest.mark.parametrize("path", _SCRIPTS, ids=lambda path: path.stem)
def test_the_example_scripts_can_be_played(path: Path) -> None:
    script = parse_script(path.read_text(encoding="utf-8"), source=path.name)
    assert script.rules or script.noise or script.limits or script.batch_rules
