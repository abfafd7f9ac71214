"""The media worker process: listens, announces itself, and looks at the sessions that it is told of."""

from __future__ import annotations

import asyncio
import errno
import secrets
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from omapush import log
from omapush.certificates import fingerprint_of
from omapush.config import Config, Msrp
from omapush.control.agent import Agent, follow
from omapush.errors import PushRefused, TryLater
from omapush.msrp_agent import tls
from omapush.msrp_agent.carrier import Carrier
from omapush.msrp_agent.connection import MsrpConnection
from omapush.msrp_agent.hub import Hub
from omapush.push.media_worker import RECORD_VERSION, MediaWorker
from omapush.store import client, msrp_workers

_STOP_S: Final = 10.0
"How long transfers may go on after SIGTERM."
_LOOK_S: Final = 5.0
"How often the sessions under way are read without being told to: what is told may get lost."
_AGAIN_S: Final = 1.0


async def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """
    Work until SIGTERM or SIGINT; what is being sent then may end within 10 s.

    `ready` is called when it listens.

    Raises:
        PushRefused: all ports of this node's workers are taken.
        BadConfiguration: certificate or key cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hub = Hub(config.msrp)
    server, port = await _listen(config.msrp, hub)
    worker = Worker(config, hub, port, _fingerprint(config.msrp, hub))
    log.get().info("msrp_listening", worker=worker.name, uri=worker.uri)
    ready()
    try:
        await worker.run(stop)
    finally:
        server.close()
        hub.close()


def _fingerprint(settings: Msrp, hub: Hub) -> str:
    """Return that of the certificate which the worker shows as long as it lives; empty: none."""
    if not settings.tls:
        return ""
    for is_named in (True, False):
        hub.client_context(is_named=is_named)
    return fingerprint_of(settings.certificate, "msrp.certificate")


async def _listen(settings: Msrp, hub: Hub) -> tuple[asyncio.Server, int]:
    """Listen on the first port of this node's workers that is free."""
    host, _, first = settings.listen.rpartition(":")
    context = tls.server_context(settings) if settings.tls else None
    for port in range(int(first), int(first) + settings.workers):
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: MsrpConnection(hub), host.strip("[]"), port, ssl=context
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PushRefused(f"msrp.listen: {host}:{port}: {error.strerror}") from error
        else:
            return server, port
    raise PushRefused(
        f"msrp.listen: {settings.listen} and {settings.workers - 1} ports behind it are taken; "
        "stop the other workers, or make msrp.workers larger"
    )


class Worker:
    """What a worker does while it lives."""

    def __init__(self, config: Config, hub: Hub, port: int, fingerprint: str = "") -> None:
        settings = config.msrp
        self._fingerprint = fingerprint
        host = settings.public_host or settings.listen.rpartition(":")[0]
        self.name = f"{socket.gethostname()}:{port}:{secrets.token_hex(4)}"
        self.uri = f"{'msrps' if settings.tls else 'msrp'}://{host}:{port}"
        self._settings = settings
        self._store = client.connect(config.redis)
        self._carrier = Carrier(config, self._store, hub, self.name)
        self._wait_s = min(0.4, config.redis.timeout_ms / 2_000)
        self._takes = True
        self._agent = Agent(config, self._store, "msrp", self)

    # What an operator may tell it, as omapush/control wants it

    def busy(self) -> str:
        """Return how many contents it still carries."""
        number = self._carrier.streams
        return f"{number} contents being sent" if number else ""

    def drain(self, is_on: bool) -> None:
        """Be chosen for no further session, or again."""
        self._takes = not is_on

    def log_at(self, level: str) -> None:
        """Write lines of the log from that level on."""
        log.set_level(level)

    def taking(self) -> str:
        """The next stream begins with what was taken last."""
        return ""

    def take(self, config: Config) -> None:
        """Begin streams as another configuration says; those under way go on as they began."""
        self._settings = config.msrp
        self._carrier.take(config.msrp)

    async def run(self, stop: asyncio.Event) -> None:
        """Carry sessions until `stop`, then let them end."""
        with ThreadPoolExecutor(1, "told") as ear:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self._announce()),
                    tasks.create_task(self._hear(ear)),
                    tasks.create_task(self._look()),
                    tasks.create_task(follow(self._agent)),
                ]
                await stop.wait()
                self._takes = False
                await self._carrier.stop(_STOP_S, "its media worker ends")
                for task in background:
                    task.cancel()
        await asyncio.to_thread(self._agent.retire)
        try:
            await asyncio.to_thread(msrp_workers.retire, self._store, self.name)
        except TryLater as error:  # it counts as dead a little later
            log.get().warning("msrp_store_away", reason=str(error))

    async def _announce(self) -> None:
        while True:
            room = self._settings.streams if self._takes else 0
            shown = MediaWorker(
                RECORD_VERSION, self.name, self.uri, self._carrier.streams, room, self._fingerprint
            )
            try:
                await asyncio.to_thread(msrp_workers.announce, self._store, shown, self._settings.lease_ms)
            except TryLater as error:
                log.get().warning("msrp_store_away", reason=str(error))
            await asyncio.sleep(self._settings.lease_ms / 3_000)

    async def _hear(self, ear: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                ids = await loop.run_in_executor(
                    ear, msrp_workers.heard, self._store, self.name, self._wait_s
                )
                if ids:
                    await self._carrier.look(ids)
            except TryLater as error:
                log.get().warning("msrp_store_away", reason=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self._carrier.look(self._carrier.sessions)
            except TryLater as error:
                log.get().warning("msrp_store_away", reason=str(error))
