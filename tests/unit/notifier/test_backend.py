"""How many exchanges a back end gets at a time: fewer when it fails."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from omapush.config import parse
from omapush.notifier.backend import Backends
from omapush.push.backend_answer import Verdict
from omapush.push.hosted import HostedPush, HostedState
from omapush.store import client, hosted
from omapush.store.hosted import Due
from tests.unit.notifier.test_results import until

APPLICATION, PUSHES = "mms.ua", 60


def due(number: int) -> Due:
    push = HostedPush(
        version=1,
        id=f"{number:032d}",
        application=APPLICATION,
        sender="sip:a@home1.example",
        recipient="sip:b@home1.example",
        content_type="text/plain",
        content=b"hello",
        fields=(),
        push_id="",
        initiator_uri="",
        content_uri="",
        valid_until_ms=0,
        wrapped=False,
        method="MESSAGE",
        call_id="c",
        received_ms=0,
    )
    return Due(push, HostedState())


class BackEnd:
    """Answers all alike, and counts how many exchanges are under way at the same time."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._under_way = 0
        self.most_of_the_last = 0
        "Of those of the last half."
        self._begun = 0

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        self._begun += 1
        self._under_way += 1
        if self._begun > PUSHES // 2:
            self.most_of_the_last = max(self.most_of_the_last, self._under_way)
        for _turn in range(50):  # whoever may begin does so meanwhile
            await asyncio.sleep(0)
        self._under_way -= 1
        if self._status == 0:
            raise httpx.ConnectError("refused")
        return httpx.Response(self._status)


@pytest.mark.parametrize(("status", "least", "most"), [(0, 1, 4), (503, 1, 4), (429, 1, 4), (204, 16, 64)])
def test_one_that_fails_gets_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch, status: int, least: int, most: int
) -> None:
    owed, settled = [due(number) for number in range(PUSHES)], list[Verdict]()

    def borrow(*_: object, **__: object) -> list[Due]:
        taken, owed[:] = list(owed), []
        return taken

    def settle(_store: object, _push: object, verdict: Verdict, *_: object, **__: object) -> bool:
        settled.append(verdict)
        return True

    monkeypatch.setattr(hosted, "borrow", borrow)
    monkeypatch.setattr(hosted, "settle", settle)
    config = parse({"hosted": {APPLICATION: {"backend": "http://127.0.0.1:9/push"}}}, "omapush.toml")
    back_end = BackEnd(status)

    async def run() -> None:
        stop = asyncio.Event()
        async with httpx.AsyncClient(transport=httpx.MockTransport(back_end)) as behind:
            work = asyncio.create_task(Backends(config, client.connect(config.redis), behind).run(stop))
            await until(lambda: len(settled) == PUSHES or work.done())
            stop.set()
            await work

    asyncio.run(run())
    assert least <= back_end.most_of_the_last <= most
