"""The notifier process: result notifications, sweepers and UAProf fetches, side by side in one event loop."""

from __future__ import annotations

import asyncio
import signal

import httpx

from omapush.config import Config
from omapush.notifier.results import Notifications
from omapush.notifier.sweeper import Sweeper
from omapush.notifier.uaprof_fetch import MOST_AT_ONCE, ProfileFetcher
from omapush.store import client


async def run(config: Config) -> None:
    """Work until SIGTERM or SIGINT; what initiators are being told then is brought to its end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = client.connect(config.redis)
    limits = httpx.Limits(
        max_connections=config.notify.concurrency, max_keepalive_connections=config.notify.concurrency
    )
    timeout = httpx.Timeout(config.notify.timeout_s)
    fetch_limits = httpx.Limits(max_connections=MOST_AT_ONCE, max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, follow_redirects=False) as http,
        httpx.AsyncClient(limits=fetch_limits, trust_env=False, follow_redirects=False) as foreign,
        asyncio.TaskGroup() as tasks,
    ):
        background = [tasks.create_task(Sweeper(config, store).run())]
        if config.capabilities.fetch:
            background.append(tasks.create_task(ProfileFetcher(config, store, foreign).run()))
        await Notifications(config, store, http).run(stop)
        for task in background:
            task.cancel()
