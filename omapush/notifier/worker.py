"""
The notifier process, all in one event loop: result notifications, sweepers, UAProf fetches, and pushes for
applications hosted behind this server.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial

import httpx

from omapush.config import Config
from omapush.control.agent import Agent, follow
from omapush.notifier import answer
from omapush.notifier.alarm_keeper import AlarmKeeper
from omapush.notifier.backend import Backends
from omapush.notifier.lasting import lasting
from omapush.notifier.leftovers import Leftovers
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.posting import Poster
from omapush.notifier.pruning import Pruning
from omapush.notifier.quota_sweep import QuotaSweep
from omapush.notifier.reachable import Judged
from omapush.notifier.recorder import Recorder
from omapush.notifier.results import Notifications
from omapush.notifier.steering import NotifierSteering
from omapush.notifier.sweeper import Sweeper
from omapush.notifier.traced_pushes import TracedPushes
from omapush.notifier.uaprof_fetch import MOST_AT_ONCE, ProfileFetcher
from omapush.push.callback import Callbacks
from omapush.store import client
from omapush.store.client import Store
from omapush.telemetry.opening import span_export
from omapush.telemetry.wishes import Wishes


async def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """
    Work until SIGTERM or SIGINT; what initiators are being told then is brought to its end.

    `ready` is called when the work begins.
    """
    steering = NotifierSteering(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, steering.end)
    store = client.connect(config.redis)
    agent = Agent(config, store, "notifier", steering)
    following = asyncio.create_task(follow(agent))
    metrics = NotifierMetrics()
    shown = asyncio.create_task(metrics.show(config, store))
    ready()
    await steering.run(partial(_round, store, metrics))
    shown.cancel()
    following.cancel()
    await asyncio.to_thread(agent.retire)


async def _round(store: Store, metrics: NotifierMetrics, config: Config, stop: asyncio.Event) -> None:
    """Work with one configuration until `stop` is set."""
    wishes, export = Wishes(config.trace, store), span_export(config.trace, "notifier")
    limits = httpx.Limits(
        max_connections=config.notify.concurrency, max_keepalive_connections=config.notify.concurrency
    )
    fetch_limits = httpx.Limits(max_connections=MOST_AT_ONCE, max_keepalive_connections=0)
    longest = max((one.timeout_s for one in config.hosted.values()), default=1.0)
    callbacks = Callbacks(config.notify.targets, config.notify.networks)
    async with (
        Poster(Judged(callbacks.allow), answer.LARGEST) as poster,
        httpx.AsyncClient(limits=fetch_limits, trust_env=False, follow_redirects=False) as foreign,
        httpx.AsyncClient(timeout=longest, limits=limits, trust_env=False, follow_redirects=False) as behind,
        asyncio.TaskGroup() as tasks,
    ):
        notifications = Notifications(config, store, poster, metrics, export)
        parts = {
            "alarms": AlarmKeeper(config, store, notifications.failing).run,
            "sweeper": Sweeper(config, store, metrics).run,
            "pruning": Pruning(config, store).run,
            "quotas": QuotaSweep(config, store).run,
            "leftovers": Leftovers(config, store).run,
            "traces": TracedPushes(store, export).run,
            "wishes": wishes.watch,
        }
        if config.records.folder:
            parts["records"] = Recorder(config, store, metrics).run
        if config.capabilities.fetch:
            parts["profiles"] = ProfileFetcher(config, store, foreign).run
        background = [tasks.create_task(lasting(name, run)) for name, run in parts.items()]
        hosted = Backends(config, store, behind, wishes, export)
        backends = tasks.create_task(lasting("back ends", partial(hosted.run, stop)))
        await lasting("results", partial(notifications.run, stop))
        await backends
        for task in background:
            task.cancel()
    if export is not None:
        await asyncio.to_thread(export.close)
