"""The script language of message batches: the values that are read, and the messages about mistakes."""

from __future__ import annotations

import pytest

from producer.simulator.answer.draw import draw_for
from producer.simulator.answer.fields import ScriptError
from producer.simulator.answer.script import parse_script
from producer.simulator.batches.choose import BatchChooser, Call
from producer.simulator.batches.requests import Item


def _rule(body: str) -> str:
    return f"[[batch_rules]]\n{body}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batches = 3", "s.toml: batches: right is a table with cancel_s, "),
        ("[batches]\nmedian = 3", "s.toml: batches: field 'median': unknown; did you mean 'median_s'?"),
        ("[batches]\nmedian_s = 0", "batches: field 'median_s': 0 is wrong; right is seconds, more than 0"),
        ("[batches]\np95_s = 10", "batches: field 'p95_s': 10 is below median_s; right is the median or more"),
        ("[batches]\ntimes_faster = 0", "field 'times_faster': 0 is wrong; right is a number, more than 0"),
        ("[batches]\nfinishes = 2", "field 'finishes': 2 is wrong; right is a number from 0 to 1"),
        ("[batches]\nqueue = 0", "field 'queue': 0 is wrong; right is a whole number, 1 or more"),
        ("[batches]\nskew_s = 90_000", "field 'skew_s': 90000 is wrong; right is seconds, less than a day"),
        ("batch_rules = 3", "s.toml: field 'batch_rules': right is a list of [[batch_rules]] tables"),
        (_rule("answer = 'okay'"), "s.toml: batch rule 1: field 'answer': 'okay' is unknown; right is one of "),
        (_rule("answer = 'refusal'"), "field 'answer': 'refusal' is unknown"),
        (_rule("cal = 'list'"), "batch rule 1: field 'cal': unknown; did you mean 'call'?"),
        (_rule("call = 'poll'"), "field 'call': 'poll' is wrong; right is 'create' or 'list' or "),
        (_rule("call = 'list'\nforeign = 1"), "field 'foreign': is for call = 'create'"),
        (_rule("takes_s = 3"), "field 'takes_s': is for call = 'create'"),
        (_rule("call = 'list'\nline_bytes = 9"), "field 'line_bytes': is for call = 'results'"),
        (_rule("call = 'list'\nanswer = 'line_bad'"), "field 'answer': 'line_bad' is for call = 'results'"),
        (_rule("answer = 401\nretry_after_s = 1"), "answer '401' has no use for it; it takes none of the fields"),
        (_rule("answer = 'raw'"), "field 'status': missing; answer 'raw' needs a status from 200 to 599"),
        (_rule("from_batch = 3\nto_batch = 2"), "field 'to_batch': 2 is before from_batch; right is 3 or more"),
        (_rule("from_s = 3\nto_s = 2"), "field 'to_s': 2 is before from_s; right is 3 or more"),
        ("[[rules]]\nanswer = 'ok'\nlane = 'half'", "field 'lane': 'half' is wrong; right is 'live' or 'batch'"),
        ("[[rules]]\nanswer = 'ok'\nwithout = 'x'", "field 'without': 'x' is wrong; right is a list of counters"),
    ],
)
def test_a_mistake_is_named_with_file_rule_field_and_the_right_value(text: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, source="s.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("s.toml: ")


@pytest.mark.parametrize(
    ("answer", "is_accepted"),
    [("'ok'", True), ("'hang'", True), ("'reset_before'", True), ("'cut'", True), ("500", False), ("429", False)],
)
def test_a_call_without_a_reply_is_carried_out_and_an_error_is_not(answer: str, is_accepted: bool) -> None:
    (rule,) = parse_script(_rule(f"answer = {answer}")).batch_rules
    assert rule.accepted is is_accepted
    (turned,) = parse_script(_rule(f"answer = {answer}\naccepted = {str(not is_accepted).lower()}")).batch_rules
    assert turned.accepted is not is_accepted


def test_a_rule_for_a_create_has_habits_of_its_own() -> None:
    script = parse_script("[batches]\ntakes_s = 5\n" + _rule("call = 'create'\nnever_ends = true\nexpired = 0.5"))
    settled = script.batch_rules[0].settled(script.batches)
    assert (settled.takes_s, settled.never_ends, settled.expired) == (5, True, 0.5)


def test_the_first_rule_whose_selectors_fit_answers() -> None:
    rules = (
        "call = 'list'\ntimes = 1\nanswer = 401",
        "call = 'retrieve'\nfrom_batch = 2\nto_batch = 3\ntimes_per_batch = 1\nanswer = 404",
        "call = 'create'\nprompt_contains = 'bridge \"ä'\nanswer = 413",
        "from_s = 10\nto_s = 20\nanswer = 503",
    )
    chooser = BatchChooser(parse_script("".join(map(_rule, rules))).batch_rules, 100.0)

    def word(call: Call, now_s: float = 100.0) -> str:
        return chooser.choose(call, draw_for(7, b"x"), now_s).reply.answer.word

    assert [word(Call(kind="list")) for _ in range(2)] == ["401", "ok"]
    polls = [word(Call(kind="retrieve", number=number)) for number in (1, 2, 2, 3, 4, 0)]
    assert polls == ["ok", "404", "ok", "404", "ok", "ok"]
    items = [Item("a", b'{"content":"A bridge \\"\\u00e4."}')]
    assert word(Call(kind="create", number=5, items=items)) == "413"
    assert word(Call(kind="create", number=6)) == "ok"
    assert [word(Call(kind="cancel", number=1), now_s) for now_s in (109.9, 110.0, 120.0)] == ["ok", "503", "ok"]
