"""A sender process: it owns user shards and sends what is due there."""

from __future__ import annotations

import time

import steering
from dispatcher import Dispatcher
from expander import Expander, active_subscribers
from hops import Hops
from looking import Looks
from pace import Pace
from session_keeper import SessionKeeper
from settings import Settings
from shards import Shards
from subscriber import Subscriber
from subscription_notifier import SubscriptionNotifier
from window import Window

from omapush import clock, log
from omapush.config import shared_memory
from omapush.errors import PushError
from omapush.store import client
from omapush.store.outbox import Owner

_REST_S = 0.25
"Sleep after Redis did not answer."
_BETWEEN_BATCHES_S = 0.001
"What ends or becomes ready meanwhile shares the next trips to Redis."


class SenderProcess:
    """State of one sender; lives in one process and is driven by Kamailio's timer."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._index = index
        self._store = client.connect(settings.config.redis)
        self._owner = Owner(settings.node, settings.run, index)
        self._shards = Shards(settings, self._store, self._owner)
        self._looks = Looks(self._store)
        self._window = Window(index)
        self._pace = Pace()
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Send as these settings say from now on; shards, and what is in flight, stay."""
        store, index, core = self._store, self._index, settings.config.core
        self._shards.take(settings)
        self._window.resize(
            settings.config.sip.window,
            settings.config.sip.window_per_hop,
            settings.config.delivery.transaction_s,
            shared_memory.silent_pushes(settings.config),
        )
        hops = Hops(core.hop_rate, core.hop_burst, settings.alternatives)
        self._dispatcher = Dispatcher(settings, store, self._owner, self._shards, self._window, hops)
        self._notifier = SubscriptionNotifier(settings, store, hops, index)
        self._subscriber = Subscriber(settings, store, hops, index)
        self._keeper = SessionKeeper(settings, store, hops, index)
        self._expander = Expander(
            store,
            active_subscribers,
            transaction_ms=settings.config.delivery.transaction_s * 1000,
            retention_s=settings.config.delivery.retention_s,
        )

    def run_once(self) -> None:
        """Send what is ready, as far as the windows allow, or sleep a little when there is nothing."""
        try:
            if steering.is_draining:
                self._drain()
                return
            self._shards.keep()
            self._subscriber.begin(self._shards.owned)
            room = self._dispatcher.room()
            look = self._looks.take(self._shards.owned, has_room=room > 0)
            self._notifier.send_due(look.subscriptions)
            self._subscriber.send_due(look.watches)
            self._keeper.send_due(look.sessions)
            expanded = self._expander.run_once(look.fan_outs, clock.monotonic())
            if self._dispatcher.send_ready(look, room) > 0 or expanded:
                self._pace.worked()
                time.sleep(_BETWEEN_BATCHES_S)
            else:
                self._pace.rest()
        except PushError as error:
            log.get().warning("store_trouble", problem=str(error), action="trying again")
            time.sleep(_REST_S)

    def _drain(self) -> None:
        """Own nothing, and say how many requests have no answer yet."""
        self._shards.give_up()
        windows = (self._window, self._subscriber.window, self._notifier.window, self._keeper.window)
        now = clock.monotonic()
        for window in windows:
            window.free(now)
        in_flight = sum(one.in_flight for one in windows)
        steering.tell_busy(self._index, in_flight)
        self._pace.rest()
