"""How the slots for exchanges are shared among hosts."""

import asyncio

import pytest

from omapush.notifier.slots import MOST_HELD, Slots, host_of


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://PI.example:8080/a?b", "pi.example:8080"),
        ("https://user:secret@pi.example/", "pi.example"),
        ("http://[::1]:99999/", "[::1]:99999"),
        ("http://[::1/", "http://[::1/"),
        ("nonsense", "nonsense"),
    ],
)
def test_any_url_has_a_host_to_count_it_under(url: str, host: str) -> None:
    assert host_of(url) == host


def test_one_host_gets_half_of_the_slots_and_another_the_rest() -> None:
    async def shared_out() -> list[str]:
        slots, never, running = Slots(4), asyncio.Event(), list[str]()

        async def occupy(host: str) -> None:
            async with slots.exchange(host):
                running.append(host)
                await never.wait()

        hosts = ["slow"] * 5 + ["other"] * 2
        assert all(slots.hold(host) for host in hosts)
        tasks = [asyncio.create_task(occupy(host)) for host in hosts]
        for _ in range(10):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return running

    assert asyncio.run(shared_out()) == ["slow", "slow", "other", "other"]


def test_one_host_may_hold_half_and_room_comes_back_with_what_is_let_go() -> None:
    slots = Slots(2)
    taken = sum(slots.hold("slow") for _ in range(MOST_HELD))

    assert taken == slots.room() == MOST_HELD // 2
    assert slots.hold("other")
    for _ in range(taken):
        slots.let_go("slow")
    assert slots.room() == MOST_HELD - 1
    assert slots.hold("slow")
