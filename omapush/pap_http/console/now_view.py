"""What the page Now shows, ready for its templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from omapush import clock
from omapush.pap_http.console import history
from omapush.pap_http.console.charts import Chart, chart
from omapush.pap_http.console.history import SECONDS, History, Sample
from omapush.push.values import PENDING, Push, Result, State
from omapush.store import own_pushes, pushes
from omapush.store.client import Store
from omapush.views import push_search

_RECENT: Final = 12
_LATE_MS: Final = 5_000
"What is ready or due for longer waits for somebody who is not there."


class Tile(NamedTuple):
    """One figure with its last minutes."""

    name: str
    unit: str
    tone: str
    "Class that gives it its colour."
    chart: Chart
    hint: str


class Rates(NamedTuple):
    """Everything that moves each second."""

    at_ms: int
    tiles: tuple[Tile, ...]
    last: Sample | None
    "None: Redis did not answer in this second."
    ready_for_ms: int
    overdue_ms: int
    "How long what is due waits for a notifier; 0: nothing does."
    is_late: bool


class Row(NamedTuple):
    """One push in a list."""

    push: Push
    recipients: int
    open: int
    state: str
    "Of the only recipient, or of the whole."
    tone: str


def rates(known: History) -> Rates:
    """Return the figures of this second."""
    now_ms = clock.now_ms()
    last = known.last
    tiles = (
        _rate(known, "Accepted", "accent", history.accepted, "deliveries that were taken in, all nodes"),
        _rate(known, "Delivered", "good", history.delivered, "deliveries that reached a device, all nodes"),
        _rate(known, "Not delivered", "bad", history.failed, "deliveries that ended otherwise, all nodes"),
        _rate(known, "Refused", "warn", history.refused, "submissions that were not taken, all nodes"),
        _waiting(known),
    )
    ready_ms = _since(last.pulse.ready_since_ms, now_ms) if last else 0
    overdue_ms = _since(last.pulse.due_since_ms, now_ms) if last else 0
    late = max(ready_ms, overdue_ms) > _LATE_MS
    return Rates(now_ms, tiles, last, ready_ms, overdue_ms, late)


def _rate(known: History, name: str, tone: str, count: Callable[[Sample], float], hint: str) -> Tile:
    return Tile(name, "/s", tone, chart(known.rates(count), SECONDS), hint)


def _waiting(known: History) -> Tile:
    level = chart(known.levels(history.waiting), SECONDS + 1)
    return Tile("Waiting", "", "soft", level, "deliveries in the outbox, all nodes")


def _since(at_ms: int, now_ms: int) -> int:
    return max(now_ms - at_ms, 0) if at_ms else 0


def recent(store: Store, initiators: Sequence[str], most: int = _RECENT) -> list[Row]:
    """Return the newest pushes of all initiators."""
    places = own_pushes.page(store, initiators, before=None, since_ms=0, until_ms=2**52, most=most)
    return rows_of(store, [place.ref for place in places])


def rows_of(store: Store, refs: Sequence[str]) -> list[Row]:
    """Return pushes as rows of a list; those that are forgotten are left out."""
    found = [one for one in own_pushes.summaries(store, refs) if one is not None]
    singles = [one.push.ref for one in found if one.recipients == 1]
    results = dict(zip(singles, pushes.results_of(store, [(ref, 0) for ref in singles]), strict=True))
    return [_row(one, results.get(one.push.ref)) for one in found]


def rows_for(store: Store, found: Sequence[own_pushes.Summary], aor: str) -> list[Row]:
    """Return pushes as rows with the state that one of their recipients is in."""
    return [_row(one, push_search.result_in(store, one, aor)) for one in found]


def _row(one: own_pushes.Summary, result: Result | None) -> Row:
    if result is not None:
        return Row(one.push, one.recipients, one.open, result.state, tone_of(result.state))
    if one.subscribers_state:
        tone = "soft" if one.subscribers_state == "finished" else "accent"
        return Row(one.push, 0, 0, one.subscribers_state, tone)
    state = f"{one.recipients - one.open} of {one.recipients} ended" if one.open else "finished"
    return Row(one.push, one.recipients, one.open, state, "accent" if one.open else "soft")


def tone_of(state: State) -> str:
    """Return the class that gives a state its colour."""
    if state == PENDING:
        return "accent"
    return {"delivered": "good", "cancelled": "soft", "expired": "warn"}.get(state, "bad")
