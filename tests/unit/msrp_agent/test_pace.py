"""Chunk sizes follow the network."""

from omapush.msrp_agent.pace import SMALLEST, Pace


def sizes(most: int, *seconds: float) -> list[int]:
    pace = Pace(most)
    found = [pace.size]
    for one in seconds:
        pace.took(one)
        found.append(pace.size)
    return found


def test_chunks_grow_while_the_network_takes_them_at_once() -> None:
    assert sizes(400_000, 0.01, 0.01, 0.01) == [131_072, 262_144, 400_000, 400_000]


def test_chunks_shrink_while_others_would_wait() -> None:
    assert sizes(1_048_576, 2, 2, 2, 2, 2, 2)[1:] == [65_536, 32_768, 16_384, 8_192, SMALLEST, SMALLEST]


def test_chunks_stay_as_they_are_in_between() -> None:
    assert sizes(1_048_576, 0.5, 0.5) == [131_072, 131_072, 131_072]


def test_what_the_operator_set_is_the_most() -> None:
    assert sizes(2_048, 0.01, 5, 5) == [2_048, 2_048, 2_048, 2_048]
