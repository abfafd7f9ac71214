"""Which media worker takes the next session."""

from omapush.push.media_worker import RECORD_VERSION, MediaWorker, choose


def worker(name: str, streams: int = 0, *, most: int = 10) -> MediaWorker:
    return MediaWorker(RECORD_VERSION, name, f"msrp://{name}.example:1", streams, most)


def test_the_one_with_the_fewest_streams_is_taken() -> None:
    assert choose([worker("a", 3), worker("b", 1), worker("c", 2)]) == worker("b", 1)


def test_none_is_taken_when_all_are_full_or_there_is_none() -> None:
    assert choose([worker("a", 10), worker("b", 10)]) is None
    assert choose([worker("a", most=0)]) is None
    assert choose([]) is None


def test_workers_that_are_equally_busy_take_turns() -> None:
    workers = [worker("b"), worker("a"), worker("c", 1)]

    assert [choose(workers, turn) for turn in range(3)] == [worker("a"), worker("b"), worker("a")]
