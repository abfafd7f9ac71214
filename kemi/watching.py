"""What REGISTERs, and results of deliveries, mean for the watches of their users."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial

import watcher

from omapush import clock
from omapush.push.registration import Doubt, Registration, Report, doubted
from omapush.push.watch import REG, Package, is_wanted
from omapush.store import outbox, registrations, watches
from omapush.store.client import Store
from omapush.store.finish import Ended
from omapush.store.registrations import Changed, Rule

_NOBODY_THERE = frozenset({404, 410, 480, 481})
"Answers to a push that contradict a registration."


def after_registers(
    store: Store, reports: Iterable[Report], changed: Changed, packages: Collection[Package]
) -> None:
    """Have the users watched who are not yet, and the reg event of those asked who are contradicted."""
    aors = [report.aor for report in reports if is_wanted(report)]
    for package in packages:
        watches.want(store, aors, clock.now_ms(), package)
    if REG in packages:
        watcher.hurry(store, changed)


def after_results(store: Store, ended: Sequence[Ended]) -> None:
    """Doubt the registration of users whom a push did not find, and have the reg event asked about them."""
    answers = {one.ticket: one for one in ended if one.method and one.sip_code in _NOBODY_THERE}
    if not answers:
        return
    rules: dict[str, Rule] = {}
    for delivery, one in zip(outbox.read(store, list(answers)), answers.values(), strict=True):
        if delivery is not None:
            text = f"a {one.method} was answered {one.sip_code}"
            rules[delivery.aor] = partial(_doubt, Doubt("delivery", text, one.at_ms))
    watcher.hurry(store, registrations.change(store, rules))


def _doubt(doubt: Doubt, record: Registration | None) -> Registration | None:
    return None if record is None else doubted(record, doubt)
