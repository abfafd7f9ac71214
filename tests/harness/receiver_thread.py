"""A running receiver for tests and demo without a loop of their own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from omapush.receiver import Application, FileOffer, Push, Receiver
from tests.harness.wait import wait_until

Result = TypeVar("Result")
Decide = Callable[[Push], None]
"Raises `Refused` to refuse."
DecideOffer = Callable[[FileOffer], Awaitable[None] | None]


class ReceiverThread:
    """A `Receiver` on a loop of its own, with what it got and what it told."""

    def __init__(
        self, uri: str, proxy: str, apps: Sequence[str], accept: Mapping[str, tuple[str, ...]], settings: Any
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"receiver {uri}", daemon=True)
        self._thread.start()
        self.pushes: list[Push] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.decide: Decide = lambda _: None
        self.decide_offer: DecideOffer = lambda _: None
        applications = {app: Application(self._take, accept.get(app, ()), self._asked) for app in apps}
        self.receiver = Receiver(uri, proxy, applications, on_event=self._told, **settings)

    def _told(self, event: str, fields: Mapping[str, object]) -> None:
        self.events.append((event, dict(fields)))

    async def _asked(self, offer: FileOffer) -> None:
        decision = self.decide_offer(offer)
        if decision is not None:
            await decision

    async def _take(self, push: Push) -> None:
        self.decide(push)
        self.pushes.append(push)

    def call(self, work: Coroutine[Any, Any, Result], deadline_s: float = 40.0) -> Result:
        """Run on the receiver's loop and return the result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=deadline_s)

    def do(self, work: Callable[[], Result]) -> Result:
        """The same for a plain function."""

        async def wrapped() -> Result:
            return work()

        return self.call(wrapped())

    def wait_for_pushes(self, count: int, deadline_s: float = 10.0) -> list[Push]:
        """The pushes, once there are so many."""
        wait_until(lambda: len(self.pushes) >= count, deadline_s, lambda: f"{count} pushes: {self.pushes}")
        return list(self.pushes)

    def told(self, event: str) -> list[dict[str, object]]:
        """What was told under this name so far."""
        return [fields for name, fields in list(self.events) if name == event]

    def wait_for(self, event: str, count: int = 1, deadline_s: float = 10.0) -> dict[str, object]:
        """The fields of an event, once it was told so often."""
        wait_until(lambda: len(self.told(event)) >= count, deadline_s, lambda: f"{event}: {self.events}")
        return self.told(event)[count - 1]

    def close(self) -> None:
        """End the loop; the receiver was stopped before."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


@contextmanager
def receiver_in_thread(
    uri: str,
    proxy: str,
    *,
    apps: Sequence[str] = ("mms.ua",),
    accept: Mapping[str, tuple[str, ...]] | None = None,
    **settings: Any,
) -> Iterator[ReceiverThread]:
    """A started receiver; `settings` are those of `Receiver`, `accept` the types of an application."""
    running = ReceiverThread(uri, proxy, apps, accept or {}, settings)
    try:
        running.call(running.receiver.start())
        try:
            yield running
        finally:
            running.call(running.receiver.stop())
    finally:
        running.close()
