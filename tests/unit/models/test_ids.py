"""Ids are UUIDv7: they sort by the time they were made, and others can read them."""

from itertools import islice
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from models.ids import new_id, new_ids

_MS = st.integers(min_value=0, max_value=2**48 - 1)
_BITS = st.integers(min_value=0, max_value=2**74 - 1)


def test_an_id_is_the_example_of_the_standard() -> None:
    # RFC 9562, appendix A.6: 2022-02-22 14:22:22 -05:00, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F
    random_bits = (0xCC3 << 62) | 0x18C4DC0C0C07398F
    assert new_id(now_ms=0x017F22E279B0, random_bits=random_bits) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(now_ms=_MS, random_bits=_BITS)
def test_version_and_variant_stand_where_the_standard_puts_them(now_ms: int, random_bits: int) -> None:
    number = UUID(new_id(now_ms=now_ms, random_bits=random_bits))
    assert number.version == 7
    assert number.variant == "specified in RFC 4122"
    assert number.int >> 80 == now_ms
    assert (number.int >> 64) & 0xFFF == random_bits >> 62
    assert number.int & (2**62 - 1) == random_bits & (2**62 - 1)


@given(earlier=_MS, later=_MS, bits=st.tuples(_BITS, _BITS))
def test_ids_sort_as_text_by_the_millisecond_they_were_made(earlier: int, later: int, bits: tuple[int, int]) -> None:
    if earlier < later:
        assert new_id(now_ms=earlier, random_bits=bits[0]) < new_id(now_ms=later, random_bits=bits[1])


def test_ids_of_the_same_millisecond_differ() -> None:
    assert len({new_id(now_ms=1) for _ in range(10_000)}) == 10_000


def test_ids_made_in_numbers_are_ids_like_any_other() -> None:
    before, made, after = new_id(), [*islice(new_ids(), 2_500)], new_id()
    assert len(set(made)) == 2_500
    assert {(number.version, number.variant) for number in map(UUID, made)} == {(7, UUID(before).variant)}
    assert all(before[:13] <= one[:13] <= after[:13] for one in made)
    assert [str(UUID(one)) for one in made] == made
