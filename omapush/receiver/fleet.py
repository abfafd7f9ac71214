"""Many devices in one process, sharing a few sockets: for load and soak tests."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from omapush import clock
from omapush.errors import BadConfiguration
from omapush.receiver.endpoint import Endpoint
from omapush.receiver.push import Application, Push
from omapush.receiver.receiver import Receiver
from omapush.receiver.registration import RegistrationFailed
from omapush.receiver.settings import Listen, Settings

NUMBER: Final = "{n}"
"Stands for the device's number in the pattern of identities."
_PAGE: Final = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Plan:
    """How many devices, who they are, and how they share the machine."""

    count: int
    uri_pattern: str
    "Identity of each, with `{n}` for its number from 1."
    proxy: str
    applications: Mapping[str, Application | Callable[[Push], Any]]
    sockets: int = 1
    at_once: int = 100
    "REGISTERs under way."
    host: str = ""


class Report(NamedTuple):
    """What the fleet did so far."""

    devices: int
    registered: int
    failed: int
    received: int
    refused: int
    duplicates: int
    repeated: int
    "Requests that were sent again and absorbed."
    malformed: int
    register_s: float
    "From the first REGISTER to the last answer."
    registers_per_s: float
    push_s: float
    "From the first push to the last."
    pushes_per_s: float
    memory_mb: float
    "Of the whole process."
    memory_kb_per_device: float


class Fleet:
    """`start`, then pushes come; `stop`."""

    def __init__(self, plan: Plan, **settings: Any) -> None:
        """
        `settings` are those of each device (`Settings`).

        Raises:
            BadConfiguration: several devices and no `{n}` in their identity.
        """
        if plan.count > 1 and NUMBER not in plan.uri_pattern:
            raise BadConfiguration(
                "uri", f"{NUMBER} is missing: {plan.count} devices cannot share one identity"
            )
        self._plan = plan
        self._settings = settings
        self.endpoints: list[Endpoint] = []
        self._devices: list[Receiver] = []
        self.failures: Counter[str] = Counter()
        self._register_s = 0.0
        self._first_push = self._last_push = 0.0
        self._memory_before = _memory()

    async def start(self) -> None:
        """
        Open the sockets and register everybody; those that fail are counted.

        Raises:
            TransportFailed: no way to the proxy.
        """
        defaults = Settings("", self._plan.proxy, **self._settings)
        self.endpoints = [
            Endpoint(
                self._plan.proxy, Listen(self._plan.host), timers=defaults.timers, trusted=defaults.trusted
            )
            for _ in range(self._plan.sockets)
        ]
        for endpoint in self.endpoints:
            await endpoint.start()
        applications = {
            name: self._counted(one if isinstance(one, Application) else Application(one))
            for name, one in self._plan.applications.items()
        }
        self._devices = [
            Receiver(
                self._plan.uri_pattern.replace(NUMBER, str(number)),
                self._plan.proxy,
                applications,
                endpoint=self.endpoints[number % len(self.endpoints)],
                **self._settings,
            )
            for number in range(1, self._plan.count + 1)
        ]
        started = clock.monotonic()
        await self._each(self._start_one)
        self._register_s = clock.monotonic() - started

    async def stop(self) -> None:
        """De-register everybody."""
        await self._each(lambda device: device.stop())
        for endpoint in self.endpoints:
            await endpoint.close()

    def report(self) -> Report:
        """Return the figures up to now."""
        registered = sum(device.is_registered for device in self._devices)
        received = sum(device.delivery.delivered for device in self._devices)
        push_s = self._last_push - self._first_push
        memory = _memory()
        grown = max(memory - self._memory_before, 0)
        return Report(
            devices=self._plan.count,
            registered=registered,
            failed=sum(self.failures.values()),
            received=received,
            refused=sum(sum(device.delivery.refusals.values()) for device in self._devices),
            duplicates=sum(device.delivery.duplicates for device in self._devices),
            repeated=sum(endpoint.server.repeated for endpoint in self.endpoints),
            malformed=sum(endpoint.malformed for endpoint in self.endpoints),
            register_s=round(self._register_s, 3),
            registers_per_s=round(registered / self._register_s, 1) if self._register_s else 0.0,
            push_s=round(push_s, 3),
            pushes_per_s=round((received - 1) / push_s, 1) if received > 1 and push_s else 0.0,
            memory_mb=round(memory / 1e6, 1),
            memory_kb_per_device=round(grown / 1e3 / self._plan.count, 1),
        )

    async def _each(self, work: Callable[[Receiver], Any]) -> None:
        turn = asyncio.Semaphore(self._plan.at_once)

        async def one(device: Receiver) -> None:
            async with turn:
                await work(device)

        await asyncio.gather(*(one(device) for device in self._devices))

    async def _start_one(self, device: Receiver) -> None:
        try:
            await device.start()
        except RegistrationFailed as error:
            self.failures[str(error)] += 1

    def _counted(self, application: Application) -> Application:
        def callback(push: Push) -> Any:
            self._last_push = clock.monotonic()
            self._first_push = self._first_push or self._last_push
            return application.callback(push)

        return Application(callback, application.accept, application.offered)


def _memory() -> int:
    """Resident bytes of this process."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
