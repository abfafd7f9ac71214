"""A sender process: it owns user shards and sends what is due there."""

from __future__ import annotations

import time

from dispatcher import Dispatcher
from expander import Expander, active_subscribers
from pace import Pace
from session_keeper import SessionKeeper
from settings import Settings
from shards import Shards
from subscriber import Subscriber
from subscription_notifier import SubscriptionNotifier

from omapush import clock, log
from omapush.errors import PushError
from omapush.store import client
from omapush.store.outbox import Owner

_REST_S = 0.25
"Sleep after Redis did not answer."


class SenderProcess:
    """State of one sender; lives in one process and is driven by Kamailio's timer."""

    def __init__(self, settings: Settings, index: int) -> None:
        store = client.connect(settings.config.redis)
        owner = Owner(settings.node, settings.run, index)
        self._shards = Shards(settings, store, owner)
        self._dispatcher = Dispatcher(settings, store, owner, self._shards)
        self._notifier = SubscriptionNotifier(settings, store, index)
        self._subscriber = Subscriber(settings, store, index)
        self._keeper = SessionKeeper(settings, store, index)
        self._expander = Expander(
            store,
            active_subscribers,
            transaction_ms=settings.config.delivery.transaction_s * 1000,
            retention_s=settings.config.delivery.retention_s,
        )
        self._pace = Pace()

    def run_once(self) -> None:
        """Send what is ready, as far as the windows allow, or sleep a little when there is nothing."""
        try:
            self._shards.keep()
            self._notifier.send_due(self._shards.owned)
            self._subscriber.send_due(self._shards.owned)
            self._keeper.send_due(self._shards.owned)
            expanded = self._expander.run_once(self._shards.owned, clock.monotonic())
            if self._dispatcher.send_ready() > 0 or expanded:
                self._pace.worked()
            else:
                self._pace.rest()
        except PushError as error:
            log.get().warning("store_trouble", problem=str(error), action="trying again")
            time.sleep(_REST_S)
