"""JSON read in bounded memory: a list comes apart by bytes exactly as a parser would cut it, and bombs are refused."""

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.web.http.errors import Refusal
from producer.web.http.scan import DEEPEST, LARGEST_ITEM, MOST_VALUES, Scan, parsed

_TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"', "\\", '\\"', "[{,]}", '"requests":[']
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


def _read(raw: bytes, *, at_once: int = 64, most_items: int = 1000) -> tuple[Any, list[Any]]:
    scanned = Scan(BytesIO(raw), listed="requests", most_items=most_items, at_once=at_once).run()
    return parsed(scanned.frame, "the body"), [parsed(item, "item") for item in scanned.items()]


@given(
    before=st.dictionaries(_TEXTS.filter(lambda name: name != "requests"), _VALUES, max_size=3),
    items=st.lists(_VALUES, max_size=6),
    after=st.dictionaries(_TEXTS.map(lambda name: f"z{name}"), _VALUES, max_size=3),
    at_once=st.integers(1, 40),
    is_ascii=st.booleans(),
    indent=st.sampled_from([None, 0, 3]),
)
def test_a_list_comes_apart_as_a_parser_would_cut_it(
    before: dict[str, Any], items: list[Any], after: dict[str, Any], at_once: int, *, is_ascii: bool, indent: int | None
) -> None:
    whole = {**before, **after, "requests": items, "y": after}
    raw = json.dumps(whole, ensure_ascii=is_ascii, indent=indent).encode()
    expected = whole | {"requests": []}
    assert _read(raw, at_once=at_once) == (expected, items)


@given(st.binary(max_size=60) | st.text('{}[],:"\\ requests10', max_size=60).map(str.encode), st.integers(1, 9))
def test_whatever_is_no_json_is_refused_and_what_is_read_is_what_was_written(raw: bytes, at_once: int) -> None:
    raw = b'{"requests": [' + raw
    read = None
    with suppress(Refusal):
        read = _read(raw, at_once=at_once)
    try:
        expected = json.loads(raw.decode())
    except ValueError:
        assert read is None
        return
    if read is not None:
        assert {**read[0], "requests": read[0]["requests"] or read[1]} == expected


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        (b'{"requests": [' + b"{}," * 2000 + b"{}]}", 400, "requests: there are more than the 1000 a batch may have"),
        (b'{"requests": [[' + b"{}," * MOST_VALUES + b"{}]]}", 400, "requests[0]: holds more than 500,000 values"),
        (b'{"requests": [1, ' + b"[" * 5000, 400, f"requests[1]: nests more than {DEEPEST} levels deep"),
        (b'{"x": ' + b'{"a":' * 5000, 400, f"the body: nests more than {DEEPEST} levels deep"),
        (b'{"requests": [], "x": "' + b"x" * 2_000_000 + b'"}', 413, "the body has more than 1 MB beside its requests"),
        (b'{"requests": ["' + b"x" * (LARGEST_ITEM + 1) + b'"]}', 413, "requests[0]: is larger than 32 MB"),
        (b'{"requests": [], "requests": [1]}', 400, "the body: names the field 'requests' twice; name each once"),
        (b'{"requests": [{"a": 1, "a": 2}]}', 400, "item: names the field 'a' twice; name each once"),
        (b'{"requests": ["\xff"]}', 400, "item is not JSON: it is not UTF-8 (byte 2)"),
        (b'{"requests": [NaN]}', 400, "item is not JSON: it holds what nobody writes"),
        (b'{"requests": [1,]}', 400, "item is not JSON: Expecting value"),
        (b'{"requests": [1', 400, "the body is not JSON"),
        (b'{"requests": [{]}', 400, "the body is not JSON"),
        (b"[1]]", 400, "the body is not JSON: Extra data"),
        (b"", 400, "the body is not JSON: Expecting value"),
    ],
)
def test_a_bomb_is_refused_by_name(raw: bytes, status: int, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        _read(raw, at_once=64 * 1024)
    assert (refused.value.status, str(refused.value)[: len(message)]) == (status, message)


def test_a_body_without_a_list_has_the_same_bounds() -> None:
    raw = b'{"messages": [' + b"{}," * MOST_VALUES + b"{}]}"
    with pytest.raises(Refusal, match="the body: holds more than 500,000 values; send less at once"):
        Scan(BytesIO(raw)).run()
