"""A host gets as many exchanges at once as it is seen to take."""

import asyncio

import pytest

from omapush.notifier.gate import Gate


class Host:
    """Time, and exchanges with one host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_s = 100.0
        monkeypatch.setattr("omapush.clock.monotonic", lambda: self.at_s)

    async def asked(self, gate: Gate, times: int, *, is_answered: bool = True, took_s: float = 0.01) -> int:
        """Have so many exchanges one after the other; returns how many there is room for then."""
        for _ in range(times):
            turn = await gate.enter()
            self.at_s += took_s
            gate.leave(turn, is_answered=is_answered, took_s=took_s)
        return gate.size


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


async def entered(gate: Gate, number: int) -> list[asyncio.Task[int]]:
    """Have so many ask at once."""
    tasks = [asyncio.create_task(gate.enter()) for _ in range(number)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def begun(tasks: list[asyncio.Task[int]]) -> list[int]:
    """Which of them may begin."""
    await asyncio.sleep(0)
    return [place for place, task in enumerate(tasks) if task.done() and not task.cancelled()]


async def ended(tasks: list[asyncio.Task[int]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_as_many_answers_as_there_is_room_for_make_room_for_one_more_up_to_the_most(host: Host) -> None:
    async def sizes() -> list[int]:
        gate = Gate(18)
        return [await host.asked(gate, number) for number in (15, 1, 16, 1, 100)]

    assert asyncio.run(sizes()) == [16, 17, 17, 18, 18]


@pytest.mark.parametrize(("most", "least"), [(100, 4), (2, 2)])
def test_each_failure_halves_it_and_some_always_may(host: Host, most: int, least: int) -> None:
    assert asyncio.run(host.asked(Gate(most), 5, is_answered=False)) == least


def test_one_that_takes_many_times_as_long_as_others_halves_it_too(host: Host) -> None:
    async def sizes(*took_s: float) -> list[int]:
        gate = Gate(100)
        return [await host.asked(gate, 1, took_s=one) for one in took_s]

    assert asyncio.run(sizes(0.005, 0.4, 1.01, 0.01)) == [16, 16, 8, 8]
    assert asyncio.run(sizes(1.5, 1.6, 4.0, 1.5)) == [16] * 4, "it always takes so long"


def test_while_one_is_under_way_for_long_there_is_no_more_room(host: Host) -> None:
    async def sizes() -> list[int]:
        gate = Gate(100)
        found = [await host.asked(gate, 16)]
        stuck = await gate.enter()
        host.at_s += 0.6
        found.append(await host.asked(gate, 100))
        gate.leave(stuck, is_answered=True, took_s=0.4)
        found.append(await host.asked(gate, 1))
        return found

    assert asyncio.run(sizes()) == [17, 17, 18]


def test_no_more_begin_than_there_is_room_for_and_in_their_order(host: Host) -> None:
    async def run() -> None:
        gate = Gate(100)
        tasks = await entered(gate, 40)
        assert await begun(tasks) == list(range(16))
        gate.leave(tasks[5].result(), is_answered=True)
        assert await begun(tasks) == list(range(17))
        gate.leave(tasks[6].result(), is_answered=False)  # room for 8 now, 15 are under way
        for place in range(7, 14):
            gate.leave(tasks[place].result(), is_answered=True)
            assert await begun(tasks) == list(range(17))
        gate.leave(tasks[14].result(), is_answered=True)
        assert await begun(tasks) == list(range(19)), "eight answers more: there is room for nine"
        await ended(tasks)

    asyncio.run(run())


def test_who_goes_away_while_it_waits_or_just_got_its_turn_takes_no_place(host: Host) -> None:
    async def run() -> None:
        gate = Gate(2)
        tasks = await entered(gate, 4)
        tasks[2].cancel()
        gate.leave(tasks[0].result(), is_answered=True)  # the third is gone: the turn of the fourth
        tasks[3].cancel()
        await asyncio.gather(*tasks[2:], return_exceptions=True)
        gate.leave(tasks[1].result(), is_answered=True)
        more = await entered(gate, 3)
        assert await begun(more) == [0, 1]
        await ended(more)

    asyncio.run(run())
