"""The bytes of a stream become its events, however the network splits the bytes, and however long a line is."""

from time import process_time

import pytest

from worker.provider.stream import EventParser, StreamError


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_every_split_and_lines_of_no_event_are_read(end: str) -> None:
    event = 'event: message_start\n: a comment\nid: 7\nretry: 9\ndata: {"type":\ndata:"ping", "of": "Mühle ✓"}\n\n\n\n'
    sent = f"\ufeff{event}data: [DONE]\n\ndata: \n\n".replace("\n", end).encode()
    for at in range(len(sent)):
        parser = EventParser()
        found = [*parser.feed(sent[:at]), *parser.feed(sent[at:]), *parser.feed(b"\n")]
        assert [each for each in found if each] == [{"type": "ping", "of": "Mühle ✓"}]


def test_an_event_without_a_type_has_the_name_of_its_line() -> None:
    assert [*EventParser().feed(b'event: ping\ndata: {"at": 1}\n\n')] == [{"type": "ping", "at": 1}]


def test_a_long_line_in_many_chunks_is_read_once() -> None:
    text, parser, began = "A" * 8 * 2**20, EventParser(), process_time()
    sent = f'data: {{"type": "ping", "of": "{text}"}}\n\n'.encode()
    found = [event for at in range(0, len(sent), 1024) for event in parser.feed(sent[at : at + 1024])]
    assert found == [{"type": "ping", "of": text}]
    assert process_time() - began < 8  # a line read anew for each chunk takes minutes


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_event_without_an_end_is_an_error_before_the_memory_is_full(end: bytes) -> None:
    parser, chunk = EventParser(), b"data: " + b"A" * 2**20 + end
    fed = (event for _ in range(65) for event in parser.feed(chunk))
    with pytest.raises(StreamError, match="more than 67,108,864 bytes"):
        next(fed)


def test_many_short_events_are_no_long_one() -> None:
    parser, comment, event = EventParser(), b":" + b" " * 2**20 + b"\n", b'data: {"type": "ping"}\n\n'
    assert sum(len([*parser.feed(comment + event)]) for _ in range(70)) == 140
